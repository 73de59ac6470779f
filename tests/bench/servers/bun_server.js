// bun bun_server.js PORT [MODE [CERTIFICATE KEY]]: MODE is echo, broadcast, deflate or deflate-takeover

const [port, mode, certificate, key] = process.argv.slice(2);
const broadcasts = mode === 'broadcast';
const compresses = mode?.startsWith('deflate') ?? false;
const windows = mode === 'deflate-takeover' ? 'dedicated' : 'shared';

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  tls: certificate ? {cert: Bun.file(certificate), key: Bun.file(key)} : undefined,
  fetch(request, self) {
    return self.upgrade(request) ? undefined : new Response('this is a WebSocket server', {status: 426});
  },
  websocket: {
    perMessageDeflate: compresses && {compress: windows, decompress: windows},
    maxPayloadLength: 16 * 1024 * 1024,
    open(socket) {
      if (broadcasts) socket.subscribe('all');
    },
    message(socket, data) {
      if (broadcasts) server.publish('all', data);
      else socket.send(data, compresses);
    },
  },
});
