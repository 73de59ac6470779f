// Chromium opens the page of examples/browser against our echo server: `node chromium.cjs ECHO_SERVER PAGE [deflate]`, the
// latter where that server can compress.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const {pathToFileURL} = require('node:url');
const {echoServer, load, run, skip} = require('./peers.cjs');
const {relay} = require('./relay.cjs');

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(fs.existsSync);
if (!executablePath) skip('chromium is not installed');
const {chromium} = load('playwright-core');

const [program, file, deflate] = process.argv.slice(2);
const mebibyte = 1 << 20;
let browser, page, server;

/** Clicks the page's button and gives the entries that then come to its log, up to the one of `last` kind. */
async function click(button, last) {
  await page.click('#clear');
  await page.click(button);
  await page.waitForSelector(`#log li.${last}`);
  return page.$$eval('#log li', all => all.map(one => `${one.className} ${one.querySelector('span').textContent}`));
}

/** All events of a connection that is closed with 3001 as soon as it is open, without reasons, which are free. */
function eventsOf(url, ...protocols) {
  return page.evaluate(([url, protocols]) => new Promise(resolve => {
    const events = [];
    const socket = new WebSocket(url, protocols);
    socket.onopen = () => {
      events.push(`open ${socket.protocol}`.trim());
      socket.close(3001, 'grüße 🎉');
    };
    socket.onerror = () => events.push('error');
    socket.onclose = event => {
      events.push(`close ${event.code} ${event.wasClean ? 'clean' : 'unclean'}`);
      resolve(events);
    };
  }), [url, protocols]);
}

run([
  async function starts() {
    server = await echoServer(program, '--subprotocol', 'chat.v2', '--subprotocol', 'chat.v1');
    browser = await chromium.launch({
      executablePath,
      timeout: 30_000,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync'],
    });
    console.log(`       Chromium ${browser.version()}`);
    page = await browser.newPage();
    page.setDefaultTimeout(15_000);
    page.on('pageerror', error => assert.fail(error));
    await page.goto(pathToFileURL(file).href);
  },

  async function thePageConnects() {
    await page.fill('#url', server.url);
    await page.fill('#protocols', 'other, chat.v1');
    assert.equal(await page.textContent('#state'), '–');
    assert.deepEqual(await click('#connect', 'open'), [`open ${server.url}/, subprotocol chat.v1`]);
    assert.equal(await page.textContent('#state'), '1 (open)');
    assert.equal(await page.textContent('#protocol'), 'chat.v1');
  },

  async function thePageSendsAndReceives() {
    await page.fill('#text', 'grüße, 世界 🎉');
    assert.deepEqual(await click('#message button.main', 'received'),
                     ['sent text, 12 characters: grüße, 世界 🎉', 'received text, 12 characters: grüße, 世界 🎉']);
    assert.equal((await click('#binary', 'received'))[1],
                 'received binary, 20 bytes: 67 72 c3 bc c3 9f 65 2c 20 e4 b8 96 e7 95 8c 20 …');
    await page.fill('#text', '');
    assert.deepEqual(await click('#message button.main', 'received'),
                     ['sent text, 0 characters: ', 'received text, 0 characters: ']);
    assert.match((await click('#large-text', 'received'))[1], /^received text, 1048576 characters: xxx/);
    assert.match((await click('#large-binary', 'received'))[1], /^received binary, 1048576 bytes: 00 01 02 03/);
    await page.waitForFunction(() => document.getElementById('buffered').textContent === '0');
  },

  async function thePageCloses() {
    await page.fill('#code', '3001');
    await page.fill('#reason', 'bis später');
    // RFC 6455 5.5.1: the server's answer has the code; a reason need not come back.
    assert.match((await click('#close', 'close'))[0], /^close code 3001, reason .*, clean$/);
    assert.equal(await page.textContent('#state'), '3 (closed)');
  },

  async function thePageShowsWhatTheBrowserThrows() {
    await page.fill('#protocols', 'not a token');
    assert.match((await click('#connect', 'error'))[0], /^error .*subprotocol/);
  },

  async function everythingComesBackUnchanged() {
    const wrong = await page.evaluate(async url => {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      await new Promise(resolve => socket.onopen = resolve);
      const bytes = size => Uint8Array.from({length: size}, (_, i) => i * 7);
      const samples = ['', '🎉'.repeat(1000), '\0', 'x'.repeat(1 << 20), new Uint8Array(),
                       ...[125, 126, 65535, 65536, 1 << 20].map(bytes)];
      const wrong = socket.extensions ? ['extensions'] : [];
      for (const sample of samples) socket.send(sample);
      const queued = socket.bufferedAmount;
      if (queued < 2 << 20) wrong.push(`bufferedAmount ${queued}`);
      const echoes = [];
      await new Promise(resolve => socket.onmessage = event => echoes.push(event.data) === samples.length && resolve());
      if (socket.bufferedAmount !== 0) wrong.push(`bufferedAmount ${socket.bufferedAmount} at the end`);
      const same = (a, b) => typeof a === 'string' ? a === b : String(a) === String(new Uint8Array(b));
      samples.forEach((sample, i) => same(sample, echoes[i]) || wrong.push(`echo ${i}`));
      socket.close();
      return wrong;
    }, server.url);
    assert.deepEqual(wrong, []);
  },

  async function closesCleanly() {
    assert.deepEqual(await eventsOf(server.url), ['open', 'close 3001 clean']);
    assert.deepEqual(await eventsOf(server.url, 'chat.v1', 'chat.v2'), ['open chat.v2', 'close 3001 clean']);
  },

  async function aSubprotocolThatTheServerDoesNotSpeakFails() {
    assert.deepEqual(await eventsOf(server.url, 'other'), ['error', 'close 1006 unclean']);
  },

  async function aRefusedConnectionFails() {
    const nobody = net.createServer();
    const port = await new Promise(resolve => nobody.listen(0, '127.0.0.1', () => resolve(nobody.address().port)));
    await new Promise(resolve => nobody.close(resolve));
    assert.deepEqual(await eventsOf(`ws://127.0.0.1:${port}`), ['error', 'close 1006 unclean']);
  },

  async function anOriginThatIsNotAllowedFails() {
    const strict = await echoServer(program, '--origin', 'https://example.com');
    assert.deepEqual(await eventsOf(strict.url), ['error', 'close 1006 unclean']);
    const sandboxed = await echoServer(program, '--origin', 'null');
    assert.equal((await eventsOf(sandboxed.url))[0], 'open');
    await Promise.all([strict.stop(), sandboxed.stop()]);
  },

  async function aMessageThatIsTooBigIsClosedWith1009() {
    const small = await echoServer(program, '--max-message', '1000');
    await page.fill('#url', small.url);
    await page.fill('#protocols', '');
    await click('#connect', 'open');
    assert.match((await click('#large-binary', 'close')).at(-1), /^close code 1009, reason .*, clean$/);
    await small.stop();
  },

  async function messagesAreCompressed() {
    if (!deflate) return console.log('       left out: this echo server does not compress');
    for (const how of ['takeover', 'no-takeover']) {
      const compressing = await echoServer(program, `--deflate=${how}`);
      const between = await relay(new URL(compressing.url).port);
      const [extensions, wrong] = await page.evaluate(async url => {
        const socket = new WebSocket(url);
        socket.binaryType = 'arraybuffer';
        await new Promise((resolve, reject) => {
          socket.onopen = resolve;
          socket.onclose = reject;
        });
        const sizeOf = i => i % 100 ? i * 7919 % 3000 : i * 200;
        const noise = size => crypto.getRandomValues(new Uint8Array(Math.min(size, 65536)));
        const kinds = [i => `{"id":${i},"name":"grüße 🎉"}`.repeat(sizeOf(i) / 30),
                       i => new Uint8Array(sizeOf(i)).map((_, at) => at % 7), i => noise(sizeOf(i)), i => String(i)];
        const sent = Array.from({length: 1000}, (_, i) => kinds[i * 31 % 7 % 4](i));
        const same = (a, b) => typeof a === 'string' ? a === b : String(a) === String(new Uint8Array(b));
        let echoes = 0;
        const wrong = [];
        const all = new Promise((resolve, reject) => {
          socket.onclose = event => reject(new Error(`closed with ${event.code} after ${echoes} echoes`));
          socket.onmessage = event => {
            if (!same(sent[echoes], event.data)) wrong.push(echoes);
            if (++echoes === sent.length) resolve();
          };
        });
        for (const each of sent) socket.send(each);
        await all;
        socket.onclose = null;
        socket.close();
        return [socket.extensions, wrong];
      }, between.url);
      assert.deepEqual(wrong, []);
      const both = ['client_no_context_takeover', 'server_no_context_takeover'];
      const agreed = how === 'takeover' ? [] : both;
      assert.ok(extensions.startsWith('permessage-deflate'), extensions);
      between.check(...agreed);
      between.stop();
      await compressing.stop();
    }
  },

  async function aServerThatStopsSaysGoingAway() {
    await page.fill('#url', server.url);
    await click('#connect', 'open');
    await page.click('#clear');
    const stopped = server.stop();
    await page.waitForSelector('#log li.close');
    assert.match(await page.textContent('#log li.close span'), /^code 1001, reason .*, clean$/);
    assert.equal(await page.$('#log li.error'), null);
    assert.equal(await stopped, 0);
    await browser.close();
  },
]);
