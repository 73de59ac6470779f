// bun bun_server.js PORT [MODE [CERTIFICATE KEY]]: MODE is echo or broadcast

const [port, mode, certificate, key] = process.argv.slice(2);
const broadcasts = mode === 'broadcast';

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  tls: certificate ? {cert: Bun.file(certificate), key: Bun.file(key)} : undefined,
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
