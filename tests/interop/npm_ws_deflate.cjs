// permessage-deflate with the npm package ws: `node npm_ws_deflate.cjs ECHO_SERVER WS`. It as a client of our echo server
// and as a server of our client; what travels is looked at on the way.
'use strict';

const assert = require('node:assert/strict');
const {once} = require('node:events');
const {echoServer, load, outputOf, run} = require('./peers.cjs');
const {relay} = require('./relay.cjs');
const WebSocket = load('ws');

const [echoProgram, wsProgram] = process.argv.slice(2);
const count = 1000;
const words = ['id', 'name', 'price', 'grüße', '世界', '🎉', 'null', 'true', '{"', '":"', '","', '[0,1,2]', 'temperature'];
const snct = 'server_no_context_takeover', cnct = 'client_no_context_takeover';

/** Numbers below `most`, the same ones for the same seed (xorshift32). */
function chanceOf(seed) {
  let state = seed * 2654435761 + 1 >>> 0;
  return most => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ state << 5) >>> 0;
    return state % most;
  };
}

/** Most are short, some need a length of two bytes, a few one of eight. */
const sizeOf = chance => [() => chance(300), () => chance(3000), () => chance(1 << chance(17))][chance(3)]();

function textOf(chance) {
  let text = '';
  for (let left = sizeOf(chance) >> 2; left > 0; --left) text += words[chance(words.length)];
  return text;
}

/** Bytes without line feeds: noise, a repeated pattern, or zeros. */
function bytesOf(chance) {
  const made = Buffer.alloc(sizeOf(chance));
  const kind = chance(3);
  for (let i = 0; kind !== 0 && i < made.length; ++i) made[i] = kind === 1 ? i % 7 * 30 : chance(256);
  return made.map(byte => byte === 10 ? 0 : byte);
}

/** Every set of parameters that both know, for those who keep windows between messages and those who don't. */
const parameterSets = keeps => [undefined, 9, 12, 15].flatMap(bits =>
  (keeps ? [[], [snct], [snct, cnct]] : [[]]).map(ask => ({
    bits,
    ask,
    options: {
      threshold: 0,
      serverNoContextTakeover: ask.includes(snct) || undefined,
      clientNoContextTakeover: ask.includes(cnct) || undefined,
      serverMaxWindowBits: bits,
      clientMaxWindowBits: bits,
    },
  })));

async function theirClient(how) {
  const keeps = how === 'takeover';
  const server = await echoServer(echoProgram, `--deflate=${how}`);
  const between = await relay(new URL(server.url).port);
  for (const [seed, {bits, ask, options}] of parameterSets(keeps).entries()) {
    const socket = new WebSocket(between.url, {perMessageDeflate: options, maxPayload: 0});
    await once(socket, 'open');
    const chance = chanceOf(seed + 1);
    const sent = Array.from({length: count}, () => chance(2) ? textOf(chance) : bytesOf(chance));
    const all = new Promise((resolve, reject) => {
      let echoes = 0;
      socket.on('close', code => reject(new Error(`closed with ${code} after ${echoes} echoes`)));
      socket.on('message', (data, isBinary) => {
        const message = sent[echoes];
        if (isBinary !== (typeof message !== 'string') || !data.equals(Buffer.from(message)))
          reject(new Error(`echo ${echoes} is another`));
        if (++echoes === count) resolve();
      });
    });
    for (const message of sent) socket.send(message);
    await all;
    socket.close();
    await once(socket, 'close');
    const agreed = keeps ? [...ask] : [snct, cnct];
    if (bits) agreed.push(`server_max_window_bits=${bits}`);
    if (bits && bits !== 15) agreed.push(`client_max_window_bits=${bits}`);
    between.check(...agreed);
  }
  between.stop();
  assert.equal(await server.stop(), 0);
}

/** What it sends back is text and binary by turns where it came as text: our client prints the latter in
 * hexadecimal. */
async function theirServer(how) {
  const keeps = how === 'takeover';
  for (const [seed, {bits, ask, options}] of parameterSets(keeps).entries()) {
    const server = new WebSocket.Server({host: '127.0.0.1', port: 0, perMessageDeflate: options, maxPayload: 0});
    server.on('connection', socket => {
      let binary = false;
      socket.on('message', (data, isBinary) => socket.send(data, {binary: isBinary || (binary = !binary)}));
    });
    await once(server, 'listening');
    const between = await relay(server.address().port);
    const chance = chanceOf(seed + 100);
    for (const kind of ['text', 'binary']) {
      const lines = Array.from({length: count / 2}, () => Buffer.from(kind === 'text' ? textOf(chance) : bytesOf(chance)));
      const expected = lines.map((line, i) => kind === 'text' && i % 2 ? String(line) : line.toString('hex'));
      const input = Buffer.concat(lines.flatMap(line => [line, Buffer.from('\n')]));
      const args = ['--quiet', '--timeout', '30', '--count', String(lines.length), `--deflate=${how}`, between.url];
      const output = await outputOf(input, wsProgram, ...(kind === 'text' ? args : ['--binary', ...args]));
      assert.deepEqual(output.split('\n').slice(0, -1), expected);
    }
    const agreed = keeps ? [...ask] : [snct, cnct];
    if (bits) agreed.push(`server_max_window_bits=${bits}`, `client_max_window_bits=${bits}`);
    between.check(...agreed);
    between.stop();
    server.close();
  }
}

run([
  function theirClientOfAServerThatKeepsWindows() { return theirClient('takeover'); },
  function theirClientOfAServerThatKeepsNone() { return theirClient('no-takeover'); },
  function theirServerOfAClientThatKeepsWindows() { return theirServer('takeover'); },
  function theirServerOfAClientThatKeepsNone() { return theirServer('no-takeover'); },
]);
