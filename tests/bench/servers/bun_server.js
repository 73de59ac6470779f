// bun bun_server.js PORT [broadcast]

const [port, mode] = process.argv.slice(2);
const broadcasts = mode === 'broadcast';

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  fetch(request, self) {
    return self.upgrade(request) ? undefined : new Response('this is a WebSocket server', {status: 426});
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 16 * 1024 * 1024,
    open(socket) {
      if (broadcasts) socket.subscribe('all');
    },
    message(socket, data) {
      if (broadcasts) server.publish('all', data);
      else socket.send(data);
    },
  },
});
