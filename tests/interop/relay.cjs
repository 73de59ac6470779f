// A TCP relay that looks at the WebSocket frames which pass through it, in both directions.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');

/** What one direction has carried: the HTTP head, then how many frames of which kind. No payload is looked at. */
class Frames {
  head = null;
  plain = 0;
  compressed = 0;
  wrong = []; // first bytes that have RSV1 where RFC 7692 6 has none
  #buffer = Buffer.alloc(0);
  #skip = 0;

  feed(data) {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    if (this.head === null) {
      const end = this.#buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.head = this.#buffer.toString('latin1', 0, end);
      this.#buffer = this.#buffer.subarray(end + 4);
    }
    for (let size; (size = this.#takeFrame()) > 0;) this.#buffer = this.#buffer.subarray(size);
  }

  /** The bytes of the frame, or of its rest, that the buffer begins with; 0 where more must come first. */
  #takeFrame() {
    const left = this.#buffer.length;
    if (this.#skip !== 0) {
      const skipped = Math.min(this.#skip, left);
      this.#skip -= skipped;
      return skipped;
    }
    if (left < 2) return 0;
    const [first, second] = this.#buffer;
    let length = second & 0x7f;
    const extended = {126: 2, 127: 8}[length] ?? 0;
    if (left < 2 + extended) return 0;
    if (extended) length = Number(`0x${this.#buffer.toString('hex', 2, 2 + extended)}`);
    const isMessage = [1, 2].includes(first & 0x0f);
    if ((first & 0x30) || ((first & 0x40) && !isMessage)) this.wrong.push(first);
    if (first & 0x40) this.compressed++;
    else if (isMessage) this.plain++;
    this.#skip = (second & 0x80 ? 4 : 0) + length;
    return 2 + extended;
  }

  /** The parameters of permessage-deflate that stand there, in order; null where there is no such extension. */
  extensions() {
    const value = this.head.match(/^sec-websocket-extensions:(.*)$/im)?.[1];
    if (value === undefined) return null;
    const [extension, ...parameters] = value.split(';').map(each => each.trim());
    assert.equal(extension, 'permessage-deflate');
    return parameters.sort();
  }
}

/** Listens in front of a port of this machine; `client` and `server` are what each of them sent last time. */
async function relay(to) {
  const made = {client: null, server: null};
  const listening = net.createServer(client => {
    const server = net.connect(to, '127.0.0.1');
    const pass = (from, to, frames) => {
      from.on('data', data => frames.feed(data));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    };
    pass(client, server, made.client = new Frames());
    pass(server, client, made.server = new Frames());
  });
  await new Promise(resolve => listening.listen(0, '127.0.0.1', resolve));
  made.url = `ws://127.0.0.1:${listening.address().port}/`;
  made.stop = () => listening.close();
  /** Both sides have sent compressed frames and none with a bit that it must not have; the server has agreed to just
   * these parameters. */
  made.check = (...agreed) => {
    assert.deepEqual(made.server.extensions(), agreed.sort());
    for (const name of ['client', 'server']) {
      assert.ok(made[name].compressed > 0, `RSV1 was not seen from the ${name} in ${made[name].plain} messages`);
      assert.deepEqual(made[name].wrong, [], name);
    }
    const counts = `${made.client.compressed} and ${made.server.compressed} compressed`;
    console.log(`       ${agreed.join('; ') || 'nothing special'}: ${counts}`);
  };
  return made;
}

module.exports = {relay};
