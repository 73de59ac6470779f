// The npm package ws as a client of our echo server: `node npm_ws_client.cjs ECHO_SERVER`.
'use strict';

const assert = require('node:assert/strict');
const {once} = require('node:events');
const {echoServer, load, run} = require('./peers.cjs');
const WebSocket = load('ws');

const program = process.argv[2];
const limit = 2 << 20;
let server;

/** An open connection whose close event can be waited for. */
async function open(protocols = []) {
  const socket = new WebSocket(server.url, protocols, {maxPayload: 0});
  socket.closed = new Promise(resolve => socket.on('close', (code, reason) => resolve(`${code} ${reason}`.trim())));
  await once(socket, 'open');
  return socket;
}

async function echoOf(socket, data) {
  socket.send(data);
  const [echo, isBinary] = await once(socket, 'message');
  return isBinary ? echo : echo.toString();
}

/** A frame as a client sends it; `length`: its length bytes, for those that lie. */
function frame(first, payload = '', {mask = [7, 77, 177, 250], length} = {}) {
  const bytes = Buffer.from(payload);
  const size = length ?? [bytes.length];
  const masked = mask ? bytes.map((byte, i) => byte ^ mask[i % 4]) : bytes;
  return Buffer.concat([Buffer.from([first, size[0] | (mask ? 0x80 : 0), ...size.slice(1), ...(mask ?? [])]), masked]);
}

/** The close that the server answers to bytes which break a rule. */
async function answerTo(...bytes) {
  const socket = await open();
  socket._socket.write(Buffer.concat(bytes));
  return (await socket.closed).split(' ')[0];
}

run([
  async function starts() {
    server = await echoServer(program, '--subprotocol', 'chat.v2', '--subprotocol', 'chat.v1', '--max-message', limit);
  },

  async function echoesEveryKindAndLength() {
    const socket = await open();
    assert.equal(socket.extensions, '');
    for (const text of ['', 'grüße, 世界 🎉', '\0', 'x'.repeat(1 << 20)]) assert.equal(await echoOf(socket, text), text);
    for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]) {
      const data = Buffer.alloc(size, 'every\xff\0', 'latin1');
      assert.ok((await echoOf(socket, data)).equals(data), `${size} bytes`);
    }
    socket.close();
    await socket.closed;
  },

  async function putsFragmentsTogetherAndAnswersPingsBetweenThem() {
    const socket = await open();
    const text = Buffer.from('fragments 🎉 may cut a character');
    const pong = once(socket, 'pong');
    const echo = once(socket, 'message');
    socket.send(text.subarray(0, 11), {fin: false, binary: false});
    socket.ping('between');
    socket.send('', {fin: false});
    socket.send(text.subarray(11, 13), {fin: false});
    socket.send(text.subarray(13), {fin: true});
    assert.equal(String((await pong)[0]), 'between');
    assert.equal(String((await echo)[0]), String(text));
    socket.close();
    await socket.closed;
  },

  async function answersPingsOfEveryLength() {
    const socket = await open();
    for (const size of [0, 1, 125]) {
      socket.ping(Buffer.alloc(size, 'p'));
      assert.equal((await once(socket, 'pong'))[0].length, size);
    }
    socket.close();
    await socket.closed;
  },

  async function keepsTheOrderOfManyMessages() {
    const socket = await open();
    const got = [];
    for (let i = 0; i < 10_000; ++i) socket.send(String(i));
    socket.on('message', data => got.push(Number(data)) === 10_000 && socket.close());
    await socket.closed;
    assert.deepEqual(got, Array.from({length: 10_000}, (_, i) => i));
  },

  async function agreesOnASubprotocol() {
    const socket = await open(['chat.v1', 'other', 'chat.v2']);
    assert.equal(socket.protocol, 'chat.v2');
    socket.close();
    await socket.closed;
    await assert.rejects(open(['other']), /no subprotocol/);
  },

  async function answersACloseWithItsCode() {
    for (const [code, reason] of [[1000], [1001, 'gone'], [1011], [3001, 'grüße 🎉'], [4999, 'r'.repeat(123)]]) {
      const socket = await open();
      socket.close(code, reason);
      assert.equal((await socket.closed).split(' ')[0], String(code));
    }
    const socket = await open();
    socket.close();
    assert.equal(await socket.closed, '1005');
  },

  async function refusesWhatBreaksTheRules() {
    const text = 0x81, binary = 0x82, close = 0x88, ping = 0x89, unfinished = 0x01, continuation = 0x80;
    const cases = [
      ['1002', 'unmasked', frame(text, 'x', {mask: null})],
      ['1002', 'reserved bit 1', frame(text | 0x40, 'x')],
      ['1002', 'reserved bit 3', frame(text | 0x10, 'x')],
      ['1002', 'reserved opcode 3', frame(0x83)],
      ['1002', 'reserved opcode 11', frame(0x8b)],
      ['1002', 'long ping', frame(ping, 'x'.repeat(126), {length: [126, 0, 126]})],
      ['1002', 'fragmented ping', frame(0x09)],
      ['1002', 'continuation of nothing', frame(continuation, 'x')],
      ['1002', 'message inside a message', frame(unfinished, 'x'), frame(text, 'x')],
      ['1002', 'length not minimal', frame(text, 'x', {length: [126, 0, 1]})],
      ['1002', 'length with the high bit', frame(binary, '', {length: [127, 0x80, 0, 0, 0, 0, 0, 0, 0]})],
      ['1002', 'close of one byte', frame(close, 'x')],
      ['1002', 'close with 1005', frame(close, Buffer.from([0x03, 0xed]))],
      ['1002', 'close with 999', frame(close, Buffer.from([0x03, 0xe7]))],
      ['1002', 'close with 5000', frame(close, Buffer.from([0x13, 0x88]))],
      ['1007', 'text that is not UTF-8', frame(text, Buffer.from([0xc0, 0x80]))],
      ['1007', 'a surrogate', frame(text, Buffer.from([0xed, 0xa0, 0x80]))],
      ['1007', 'half a character', frame(text, Buffer.from([0xf0, 0x9f, 0x8e]))],
      ['1007', 'text that fails in its second frame', frame(unfinished, 'x'), frame(0x00, Buffer.from([0xff]))],
      ['1007', 'reason that is not UTF-8', frame(close, Buffer.from([0x03, 0xe8, 0xff]))],
      ['1009', 'announced too big', frame(binary, '', {length: [127, 0, 0, 0, 0, 0, 0x20, 0, 1]})],
      ['1009', '2^62 bytes announced', frame(binary, '', {length: [127, 0x40, 0, 0, 0, 0, 0, 0, 0]})],
    ];
    for (const [expected, what, ...frames] of cases) assert.equal(await answerTo(...frames), expected, what);
  },

  async function refusesAMessageThatIsTooBig() {
    const fits = await open();
    assert.equal((await echoOf(fits, Buffer.alloc(limit))).length, limit);
    fits.send(Buffer.alloc(limit + 1));
    assert.match(await fits.closed, /^1009/);

    const fragmented = await open();
    fragmented.send(Buffer.alloc(limit), {fin: false});
    fragmented.send('x', {fin: true});
    assert.match(await fragmented.closed, /^1009/);
  },

  async function saysGoingAwayWhenStopped() {
    const sockets = await Promise.all([open(), open(), open()]);
    const stopped = server.stop();
    for (const socket of sockets) assert.match(await socket.closed, /^1001/);
    assert.equal(await stopped, 0);
  },
]);
