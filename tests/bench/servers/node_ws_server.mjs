// node node_ws_server.mjs PORT [broadcast]: the npm package ws, found beside this file or in DUPLEX_BENCH_NODE_PATH.

import {createRequire} from 'node:module';
import path from 'node:path';

const modules = process.env.DUPLEX_BENCH_NODE_PATH;
const require = createRequire(modules ? path.join(path.resolve(modules), 'package.json') : import.meta.url);
const {WebSocketServer} = require('ws');

const [port, mode] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
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
