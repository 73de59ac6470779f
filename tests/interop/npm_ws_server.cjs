// Our client against a server of the npm package ws: `node npm_ws_server.cjs CLIENT_DRIVER`.
'use strict';

const assert = require('node:assert/strict');
const {once} = require('node:events');
const http = require('node:http');
const {linesOf, load, run} = require('./peers.cjs');
const {WebSocketServer} = load('ws');

const program = process.argv[2];
const refusal = 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 15\r\n\r\nwho are you? 🎉'
  .replace('15', String(Buffer.byteLength('who are you? 🎉')));

const peers = new WebSocketServer({noServer: true, handleProtocols: offered => offered.has('chat') && 'chat'});
const server = http.createServer((request, response) => response.end());
let closed; // the close that the server saw last

/** What the server does once a connection to this path is open. */
const paths = {
  '/echo': peer => peer.on('message', (data, isBinary) => peer.send(data, {binary: isBinary})),
  '/fragments': async peer => {
    const text = Buffer.from('cut 🎉 here');
    const pong = once(peer, 'pong');
    const echo = once(peer, 'message');
    peer.send(text.subarray(0, 5), {fin: false, binary: false});
    peer.ping('between');
    peer.send('', {fin: false});
    peer.send(text.subarray(5), {fin: true});
    assert.equal(String((await pong)[0]), 'between');
    assert.equal(String((await echo)[0]), String(text));
    peer.close(1000);
  },
  '/large': async peer => {
    const data = Buffer.alloc(4 << 20, 'every\xff\0', 'latin1');
    peer.send(data);
    assert.ok((await once(peer, 'message'))[0].equals(data));
    peer.close(1000, 'the same');
  },
  '/pings': async peer => {
    for (const size of [0, 1, 125]) {
      peer.ping(Buffer.alloc(size, 'p'));
      assert.equal((await once(peer, 'pong'))[0].length, size);
    }
    peer.close(1000, 'answered');
  },
  '/close': peer => peer.close(4001, 'grüße 🎉'),
  '/close-without-code': peer => peer.close(),
  '/masked': peer => peer._socket.write(Buffer.from([0x81, 0x81, 1, 2, 3, 4, 0x79])),
  '/reserved': peer => peer._socket.write(Buffer.from([0xc1, 0x01, 0x78])),
  '/not-utf8': peer => peer._socket.write(Buffer.from([0x81, 0x01, 0xff])),
  '/too-big': peer => peer._socket.write(Buffer.from([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0])),
  '/cut': peer => peer._socket.destroy(),
};

server.on('upgrade', (request, socket, head) => {
  if (request.url === '/refuse') return socket.end(refusal);
  peers.handleUpgrade(request, socket, head, peer => {
    closed = once(peer, 'close').then(([code, reason]) => `${code} ${reason}`.trim());
    Promise.resolve(paths[request.url](peer)).catch(error => peer.close(4999, error.message.slice(0, 100)));
  });
});

const drive = (mode, path, ...protocols) =>
  linesOf(program, mode, `ws://127.0.0.1:${server.address().port}${path}`, ...protocols);

run([
  async function starts() {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  },
  async function getsEverythingBack() {
    assert.deepEqual(await drive('send', '/echo'), ['open', 'echoed 11', 'close 3001 clean bis später']);
    assert.equal(await closed, '3001 bis später');
  },
  async function putsFragmentsTogetherAndAnswersPingsBetweenThem() {
    assert.deepEqual(await drive('mirror', '/fragments'), ['open', 'text 13 cut 🎉 here', 'close 1000 clean']);
  },
  async function takesALargeMessage() {
    assert.deepEqual(await drive('mirror', '/large'), ['open', `binary ${4 << 20}`, 'close 1000 clean the same']);
  },
  async function answersPingsOfEveryLength() {
    assert.deepEqual(await drive('mirror', '/pings'), ['open', 'close 1000 clean answered']);
  },
  async function answersAClose() {
    assert.deepEqual(await drive('mirror', '/close'), ['open', 'close 4001 clean grüße 🎉']);
    assert.match(await closed, /^4001/);
    assert.deepEqual(await drive('mirror', '/close-without-code'), ['open', 'close 1005 clean']);
    assert.equal(await closed, '1005');
  },
  async function agreesOnASubprotocol() {
    assert.equal((await drive('mirror', '/close', 'other', 'chat'))[0], 'open chat');
    assert.equal((await drive('mirror', '/close', 'other'))[0], 'open');
  },
  async function showsARefusalWithItsBody() {
    const [error, response, close, ...more] = await drive('mirror', '/refuse');
    assert.match(error, /^error .*: server answered 401 Unauthorized: who are you\? 🎉$/);
    assert.equal(response, 'response 401 who are you? 🎉');
    assert.equal(close, 'close 1006 unclean');
    assert.deepEqual(more, []);
  },
  async function failsAServerThatBreaksTheRules() {
    for (const [path, code, rule] of [['/masked', 1002, /masked/], ['/reserved', 1002, /reserved bit/],
                                      ['/not-utf8', 1007, /UTF-8/], ['/too-big', 1009, /larger/]]) {
      const [open, error, close, ...more] = await drive('mirror', path);
      assert.equal(open, 'open');
      assert.match(error, rule);
      assert.match(close, /^close /);
      assert.deepEqual(more, []);
      assert.match(await closed, new RegExp(`^${code}`), path);
    }
  },
  async function noticesThatTheConnectionIsLost() {
    const [open, error, close] = await drive('mirror', '/cut');
    assert.equal(open, 'open');
    assert.match(error, /^error /);
    assert.equal(close, 'close 1006 unclean');
  },
]);
