import { describe, expect, it } from 'vitest';
import { type PickleValue, readPickle } from './pickle.js';
import { readDamaged } from './testing/damage.js';
import { writePickle } from './testing/pickle-writer.js';

const read = (bytes: Uint8Array | string) =>
  readPickle(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, 'batch');
const field = (value: PickleValue, key: string) => (value instanceof Map ? value.get(key) : undefined);

describe('readPickle', () => {
  it('reads dictionaries, lists, strings and numbers', () => {
    const value = read(writePickle({ a: [1, 300, 70000, -5], b: 'text', c: { d: [] } }));
    expect(field(value, 'a')).toEqual([1, 300, 70000, -5]);
    expect(Buffer.from(field(value, 'b') as Uint8Array).toString()).toBe('text');
    expect(field(field(value, 'c')!, 'd')).toEqual([]);
  });

  it('reads uint8 arrays in either order', () => {
    const data = Uint8Array.from({ length: 600 }, (_, i) => i);
    for (const fortran of [false, true])
      expect(field(read(writePickle({ data: { shape: [2, 300], data, fortran } })), 'data')).toMatchObject({
        kind: 'ndarray',
        shape: [2, 300],
        data: Buffer.from(data),
        fortran,
      });
  });

  it('reads the bytes that CIFAR-10 files begin with', () => {
    const start =
      '\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09eu.';
    expect(field(read(start), 'labels')).toEqual([6, 9]);
  });

  it('recalls what was memorized', () => {
    expect(read('\x80\x02]q\x01(K\x05h\x01e.')).toHaveLength(2);
  });

  it.each([
    ['os.system', '\x80\x02cos\nsystem\nU\x02lsq\x01\x85R.', 'refused name "os.system" at byte 2'],
    ['builtins eval', '\x80\x02c__builtin__\neval\n(U\x011tR.', 'refused name "__builtin__.eval"'],
    ['names inherited by objects', '\x80\x02cconstructor\n\n.', 'refused name'],
    ['a new object', '\x80\x02cnumpy\nndarray\n)\x81.', 'refused opcode NEWOBJ (0x81) at byte 18'],
    ['instances', '\x80\x02(icollections\nOrderedDict\n.', 'refused opcode INST'],
    ['a call of numpy.ndarray', '\x80\x02cnumpy\nndarray\n)R.', 'refused call (REDUCE)'],
    [
      'other dtypes',
      '\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.',
      'expected an array of type u1 (uint8), got "O8"',
    ],
    [
      'signed bytes',
      '\x80\x02cnumpy\ndtype\nU\x02i1K\x00K\x01\x87R.',
      'expected an array of type u1 (uint8), got "i1"',
    ],
    ['state for a dictionary', '\x80\x02}}b.', 'refused object state (BUILD)'],
    ['protocol 4', '\x80\x04\x95\x00', 'expected pickle protocol 2, got 4 at byte 0'],
    ['persistent ids', '\x80\x02Pabc\n.', 'refused opcode PERSID (0x50) at byte 2'],
    ['unknown opcodes', '\x80\x02\xff', 'refused opcode unknown (0xff)'],
    ['an empty stack', '\x80\x02a.', 'expected a value on the stack'],
    ['two results', '\x80\x02K\x01K\x02.', 'expected one value at the end of the pickle, got 2'],
    ['a missing end', '\x80\x02K\x01', 'expected 1 bytes from byte 4, got 0'],
    ['a negative length', '\x80\x02T\xff\xff\xff\xff.', 'expected -1 bytes'],
    ['an empty memo', '\x80\x02h\x07.', 'expected a value in memo 7'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
  });

  it.each([5, 7])('refuses an array of 2x3 with %d bytes', (length) => {
    const bytes = writePickle({ data: { shape: [2, 3], data: new Uint8Array(length) } });
    expect(() => read(bytes)).toThrow(`expected 6 bytes for an array of 2x3, got ${length}`);
  });

  it('does not look below a mark', () => {
    expect(() => read('\x80\x02](a.')).toThrow('expected a value on the stack');
  });

  it('never crashes, however damaged', async () => {
    const bytes = writePickle({
      data: { shape: [2, 4], data: new Uint8Array(8) },
      labels: [1, 2],
      names: ['a', 'b'],
    });
    const { errors } = await readDamaged(bytes, bytes.length, 3000, read);
    expect(errors).toBeGreaterThan(bytes.length);
  });
});
