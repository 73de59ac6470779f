#!/bin/sh
# demo.sh DIRECTORY: runs the echo server of DIRECTORY on a free port and the client ws against it, shows what both
# print, and fails unless each line that was sent came back.
set -eu

examples=$1
work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
    echo "demo: $1" >&2
    sed 's/^/  server | /' "$work/server" >&2
    exit 1
}

cat >"$work/lines" <<'LINES'
Hello from the demo
Grüße, 世界, 👋
the third and last message
LINES

echo
echo "\$ echo_server --port 0"
"$examples/echo_server" --port 0 >"$work/server" 2>&1 &
server=$!

url=
tries=0
while [ -z "$url" ]; do
    url=$(sed -n 's/.*listening on \(ws:[^ ]*\).*/\1/p' "$work/server")
    kill -0 "$server" 2>/dev/null || fail "the server ended"
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "the server does not say where it listens"
    [ -n "$url" ] || sleep 0.05
done

count=$(grep -c '' "$work/lines")
sed 's/^/  typed  | /' "$work/lines"
echo "\$ ws $url --count $count"
timeout 30 "$examples/ws" "$url" --count "$count" <"$work/lines" >"$work/client" 2>&1 || {
    status=$?
    sed 's/^/  client | /' "$work/client" >&2
    fail "ws ended with $status"
}

kill "$server"
ended=0
wait "$server" 2>/dev/null || ended=$?
server=
# 143: ended by the signal just sent.
[ "$ended" -eq 0 ] || [ "$ended" -eq 143 ] || fail "the server ended with $ended"

sed 's/^/  client | /' "$work/client"
sed 's/^/  server | /' "$work/server"

while IFS= read -r line; do
    grep -qF -- "$line" "$work/client" || fail "this line did not come back: $line"
done <"$work/lines"
echo "The demo worked: $count messages went out and came back."
