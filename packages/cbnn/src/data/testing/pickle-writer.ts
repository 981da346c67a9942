/** Writes pickles as Python 2's cPickle (protocol 2) writes CIFAR-10's, opcode by opcode. */

/** A uint8 array to be written as numpy 1 does. */
export interface ArrayToWrite {
  readonly shape: readonly [number, number];
  readonly data: Uint8Array;
  readonly fortran?: boolean;
}

export type ToPickle =
  | number
  | string
  | readonly ToPickle[]
  | ArrayToWrite
  | { readonly [key: string]: ToPickle };

export function writePickle(value: ToPickle): Uint8Array {
  const parts: Buffer[] = [];
  let memo = 1;
  const put = (...bytes: number[]) => parts.push(Buffer.from(bytes));
  const text = (content: string) => parts.push(Buffer.from(content, 'latin1'));
  const remember = () => put(0x71, memo++);

  const writeInteger = (integer: number) => {
    const bytes = Buffer.alloc(5);
    if (integer >= 0 && integer < 256) put(0x4b, integer);
    else if (integer >= 0 && integer < 65536) put(0x4d, integer & 255, integer >> 8);
    else {
      bytes[0] = 0x4a;
      bytes.writeInt32LE(integer, 1);
      parts.push(bytes);
    }
  };
  const writeString = (content: Uint8Array) => {
    if (content.length < 256) put(0x55, content.length);
    else {
      const length = Buffer.alloc(5);
      length[0] = 0x54;
      length.writeInt32LE(content.length, 1);
      parts.push(length);
    }
    parts.push(Buffer.from(content));
  };
  const writeArray = ({ shape, data, fortran }: ArrayToWrite) => {
    text('cnumpy.core.multiarray\n_reconstruct\n');
    remember();
    text('cnumpy\nndarray\n');
    remember();
    writeInteger(0);
    put(0x85);
    writeString(Buffer.from('b'));
    put(0x87, 0x52);
    remember();
    put(0x28);
    writeInteger(1);
    for (const side of shape) writeInteger(side);
    put(0x86);
    text('cnumpy\ndtype\n');
    remember();
    writeString(Buffer.from('u1'));
    writeInteger(0);
    writeInteger(1);
    put(0x87, 0x52);
    remember();
    put(0x28);
    writeInteger(3);
    writeString(Buffer.from('|'));
    put(0x4e, 0x4e, 0x4e);
    writeInteger(-1);
    writeInteger(-1);
    writeInteger(0);
    put(0x74, 0x62, fortran ? 0x88 : 0x89);
    writeString(data);
    put(0x74, 0x62);
  };
  const isArray = (object: object): object is ArrayToWrite => 'shape' in object;
  const write = (item: ToPickle): void => {
    if (typeof item === 'number') writeInteger(item);
    else if (typeof item === 'string') {
      writeString(Buffer.from(item, 'latin1'));
      remember();
    } else if (Array.isArray(item)) {
      put(0x5d);
      remember();
      put(0x28);
      for (const element of item) write(element);
      put(0x65);
    } else if (isArray(item)) writeArray(item);
    else {
      put(0x7d);
      remember();
      put(0x28);
      for (const [key, element] of Object.entries(item)) {
        write(key);
        write(element);
      }
      put(0x75);
    }
  };
  put(0x80, 2);
  write(value);
  put(0x2e);
  return Buffer.concat(parts);
}
