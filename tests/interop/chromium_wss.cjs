// Chromium connects to our echo server by TLS, with an authority that it was told to trust and without:
// `node chromium_wss.cjs ECHO_SERVER`.
'use strict';

const assert = require('node:assert/strict');
const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const {certificates, echoServer, load, run, skip} = require('./peers.cjs');

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(fs.existsSync);
if (!executablePath) skip('chromium is not installed');
if (spawnSync('certutil', ['-H']).error) skip('certutil is not installed (libnss3-tools)');
const {chromium} = load('playwright-core');

const program = process.argv[2];
const made = certificates();
let server, url;

/** Where Chromium looks for its authorities on Linux. */
function home(name, ...trusted) {
  const directory = path.join(made.directory, name);
  const database = path.join(directory, '.pki', 'nssdb');
  fs.mkdirSync(database, {recursive: true});
  const certutil = (...args) => {
    const done = spawnSync('certutil', ['-d', `sql:${database}`, ...args], {encoding: 'utf8'});
    assert.equal(done.status, 0, done.stderr);
  };
  certutil('-N', '--empty-password');
  for (const file of trusted) certutil('-A', '-n', file, '-t', 'C,,', '-i', file);
  return directory;
}

/** What a page of a browser with that home sees of an echo. */
async function events(HOME) {
  const browser = await chromium.launch({
    executablePath,
    timeout: 30_000,
    env: {...process.env, HOME},
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
           '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage();
  const seen = await page.evaluate(url => new Promise(resolve => {
    const events = [];
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      events.push('open');
      socket.send('grüße, 世界 🎉');
      socket.send('x'.repeat(1 << 20));
      socket.send(new Uint8Array(70_000));
    };
    socket.onmessage = ({data}) => {
      events.push(typeof data !== 'string' ? `bytes ${data.byteLength}` : data.length < 100 ? data : `text ${data.length}`);
      if (typeof data !== 'string') socket.close(3001);
    };
    socket.onerror = () => events.push('error');
    socket.onclose = event => {
      events.push(`close ${event.code} ${event.wasClean ? 'clean' : 'unclean'}`);
      resolve(events);
    };
  }), url);
  await browser.close();
  return seen;
}

run([
  async function starts() {
    server = await echoServer(program, '--tls', made.certificate, made.key);
    assert.match(server.url, /^wss:/);
    url = server.url.replace('127.0.0.1', 'localhost');
  },

  async function aBrowserThatTrustsTheAuthorityTalks() {
    assert.deepEqual(await events(home('trusting', made.authority)),
                     ['open', 'grüße, 世界 🎉', 'text 1048576', 'bytes 70000', 'close 3001 clean']);
  },

  async function aBrowserThatDoesNotTrustItFails() {
    assert.deepEqual(await events(home('wary')), ['error', 'close 1006 unclean']);
  },

  async function theServerHasNotSuffered() {
    assert.equal(await server.stop(), 0);
  },
]);
