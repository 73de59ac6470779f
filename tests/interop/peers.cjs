// What the interop tests in Node share: each is run as `node TEST PROGRAM [ARGUMENT...]`.
'use strict';

const {spawn, spawnSync} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');

const hardLimit = 60_000;
const children = new Set();

/** Ends this program as skipped, which ctest tells from passed by the 77. */
function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

/** An npm package, from DUPLEX_INTEROP_NODE_PATH where that is set. */
function load(name) {
  const paths = [process.env.DUPLEX_INTEROP_NODE_PATH, __dirname].filter(Boolean);
  let file;
  try {
    file = require.resolve(name, {paths});
  } catch {
    skip(`the npm package ${name} is not installed`);
  }
  return require(file);
}

function start(program, args, input = 'ignore') {
  const child = spawn(program, args, {stdio: [input, 'pipe', 'inherit']});
  children.add(child);
  child.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve(signal ?? code);
    });
  });
  return child;
}

/** Files in PEM, made by the openssl program: `authority`, and `certificate` and `key` for localhost. */
function certificates() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'duplex-interop-'));
  process.on('exit', () => fs.rmSync(directory, {recursive: true, force: true}));
  const made = spawnSync('python3', [path.join(__dirname, 'certificates.py'), directory], {encoding: 'utf8'});
  if (made.status === 77) skip(made.stdout.trim().replace(/^skipped: /, ''));
  if (made.status !== 0) throw new Error(`certificates.py: ${made.stderr}`);
  return {directory, ...JSON.parse(made.stdout)};
}

/** Starts the echo server on a free port. `stop` asks it to end and gives its exit code. */
async function echoServer(program, ...args) {
  const child = start(program, ['--host', '127.0.0.1', '--port', '0', ...args]);
  for await (const line of readline.createInterface({input: child.stdout})) {
    const url = line.match(/^listening on (\S+)$/)?.[1];
    if (url) return {url, stop: () => (child.kill('SIGTERM'), child.ended)};
  }
  throw new Error('the echo server has not started');
}

/** Runs a program to its end and gives the lines that it printed. */
async function linesOf(program, ...args) {
  const child = start(program, args);
  const lines = [];
  for await (const line of readline.createInterface({input: child.stdout})) lines.push(line.trimEnd());
  const ended = await child.ended;
  if (ended !== 0) lines.push(`ended with ${ended}`);
  return lines;
}

/** Runs a program that reads `input` to its end, which must be a good one, and gives what it printed. */
async function outputOf(input, program, ...args) {
  const child = start(program, args, 'pipe');
  child.stdin.on('error', () => {}); // a program that ends early tells so by its exit code
  child.stdin.end(input);
  const chunks = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  const ended = await child.ended;
  if (ended !== 0) throw new Error(`${program} ended with ${ended}`);
  return Buffer.concat(chunks).toString();
}

/** Runs the cases one after the other, each under its name, within the hard limit, and ends this program. */
async function run(cases) {
  const finish = code => {
    for (const child of children) child.kill('SIGKILL');
    process.exit(code);
  };
  let name = '';
  const giveUp = why => {
    console.log(`FAILED ${name}: ${why}`);
    finish(1);
  };
  setTimeout(giveUp, hardLimit, `not done within ${hardLimit / 1000} s`);
  process.on('uncaughtException', error => giveUp(error.stack));
  let failures = 0;
  for (const each of cases) {
    name = each.name;
    try {
      await each();
      console.log(`ok     ${name}`);
    } catch (error) {
      failures++;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
  }
  finish(failures ? 1 : 0);
}

module.exports = {certificates, echoServer, linesOf, load, outputOf, run, skip};
