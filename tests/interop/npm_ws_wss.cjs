// The npm package ws by TLS, as a client of our echo server and as a server of our client:
// `node npm_ws_wss.cjs ECHO_SERVER WS`.
'use strict';

const assert = require('node:assert/strict');
const {spawn} = require('node:child_process');
const {once} = require('node:events');
const fs = require('node:fs');
const https = require('node:https');
const {certificates, echoServer, load, run} = require('./peers.cjs');
const WebSocket = load('ws');

const [program, ws] = process.argv.slice(2);
const made = certificates();
const pem = name => fs.readFileSync(made[name]);

/** Our client with lines to send; gives what it printed and how it ended. */
async function talk(url, lines, ...options) {
  const client = spawn(ws, ['--quiet', '--count', String(lines.length), ...options, url], {stdio: 'pipe'});
  let output = '', errors = '';
  client.stdout.on('data', data => output += data);
  client.stderr.on('data', data => errors += data);
  client.stdin.on('error', () => {});
  client.stdin.end(lines.join('\n') + '\n');
  const [code] = await once(client, 'close');
  return {code, output: output.trimEnd().split('\n'), errors};
}

run([
  async function aClientTalksToOurServer() {
    const server = await echoServer(program, '--tls', made.certificate, made.key);
    for (const protocol of ['TLSv1.2', 'TLSv1.3']) {
      const socket = new WebSocket(server.url, {ca: pem('authority'), maxPayload: 0, maxVersion: protocol, minVersion: protocol});
      await once(socket, 'open');
      assert.equal(socket._socket.getProtocol(), protocol);
      for (const data of ['', 'grüße 🎉', 'x'.repeat(16384), 'y'.repeat(1 << 20)]) {
        socket.send(data);
        const [echo] = await once(socket, 'message');
        assert.equal(echo.toString(), data);
      }
      socket.close(3001, 'bye');
      assert.equal((await once(socket, 'close'))[0], 3001);
    }
    assert.equal(await server.stop(), 0);
  },

  async function aClientThatDoesNotTrustOurServerLeaves() {
    const server = await echoServer(program, '--tls', made.certificate, made.key);
    const socket = new WebSocket(server.url);
    const [error] = await once(socket, 'error');
    assert.match(error.message, /certificate/);
    assert.equal(await server.stop(), 0);
  },

  async function ourClientTalksToItsServer() {
    const server = https.createServer({cert: pem('certificate'), key: pem('key')});
    new WebSocket.Server({server}).on('connection', socket =>
      socket.on('message', (data, isBinary) => socket.send(data, {binary: isBinary})));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const url = `wss://localhost:${server.address().port}/`;
    const lines = ['one', 'grüße 🎉', 'x'.repeat(70_000)];
    const good = await talk(url, lines, '--cacert', made.authority);
    assert.deepEqual(good, {code: 0, output: lines, errors: ''});
    const wary = await talk(url, ['one']);
    assert.equal(wary.code, 1);
    assert.match(wary.errors, /certificate/);
    server.closeAllConnections?.();
    server.close();
  },
]);
