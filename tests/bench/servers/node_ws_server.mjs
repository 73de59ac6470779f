// node node_ws_server.mjs PORT [MODE [CERTIFICATE KEY]]: the npm package ws, found beside this file or in
// DUPLEX_BENCH_NODE_PATH. MODE is echo, broadcast, deflate or
// deflate-takeover.

import {readFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import {createRequire} from 'node:module';
import path from 'node:path';

const modules = process.env.DUPLEX_BENCH_NODE_PATH;
const require = createRequire(modules ? path.join(path.resolve(modules), 'package.json') : import.meta.url);
const {WebSocketServer} = require('ws');

const [port, mode, certificate, key] = process.argv.slice(2);
const beneath = certificate
  ? https.createServer({cert: readFileSync(certificate), key: readFileSync(key)})
  : http.createServer();
beneath.listen({host: '127.0.0.1', port: Number(port), backlog: 4096});
const server = new WebSocketServer({
  server: beneath,
  perMessageDeflate: mode?.startsWith('deflate') && {
    serverNoContextTakeover: mode === 'deflate',
    clientNoContextTakeover: mode === 'deflate',
    zlibDeflateOptions: {level: 1},
  },
  maxPayload: 16 * 1024 * 1024,
});

server.on('connection', (socket) => {
  socket.on('error', () => {});
  if (mode === 'broadcast') {
    socket.on('message', (data, binary) => {
      for (const each of server.clients) each.send(data, {binary});
    });
  } else {
    socket.on('message', (data, binary) => socket.send(data, {binary}));
  }
});
