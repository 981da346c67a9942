/**
 * A graph of ONNX operators that knows how to differentiate itself.
 *
 * ONNX Runtime runs graphs but does not differentiate them, so every differentiable operation here (operations/)
 * adds its forward nodes and records, on a *tape*, a rule that adds the nodes of its gradient. `gradients` walks the
 * tape backwards once, when the graph is built: the result is one plain ONNX graph that any runtime can execute.
 */
import { internalError } from '@cbnn/runtime';
import { names } from './names.js';
import {
  type Attribute,
  type ConstantData,
  type Domain,
  type ElementType,
  encodeOnnx,
  type OnnxNode,
  type OnnxValue,
} from './onnx.js';

/** A tensor in the graph; `shape` is always known. */
export interface Value extends OnnxValue {}

/** Given the gradient of the loss with respect to an operation's output: one gradient per input, or null. */
type GradientRule = (gradient: Value, wanted: (input: Value) => boolean) => readonly (Value | null)[];

interface TapeEntry {
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly rule: GradientRule;
}

export class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  /** inputs that take other random numbers, uniform in [0, 1), in every step */
  readonly noises: Value[] = [];
  private moment: Value | null = null;
  readonly constants: (Value & { data: ConstantData })[] = [];
  private readonly shared = new Map<string, Value>();
  private readonly tape: TapeEntry[] = [];
  private count = 0;

  /**
   * `channelBlock`: channels per block of the device's blocked convolutions, 0 where there are none. `known`: inputs that are
   * constants instead, which a runtime may arrange as it likes.
   */
  constructor(
    readonly channelBlock = 0,
    private readonly known: Readonly<Record<string, { readonly data: Float32Array }>> = {},
  ) {}

  input(name: string, shape: readonly number[]): Value {
    const known = this.known[name];
    if (known) return this.constant(known.data, shape);
    const value: Value = { name, type: 'float32', shape };
    this.inputs.push(value);
    return value;
  }

  /** Random numbers, uniform in [0, 1). */
  noise(shape: readonly number[]): Value {
    const value = this.input(`noise.${this.noises.length}`, shape);
    this.noises.push(value);
    return value;
  }

  /** How far training has come, 0 in the first step, towards 1 in the last: an input, where anything asks for it. */
  progress(): Value {
    this.moment ??= this.input(names.progress, []);
    return this.moment;
  }

  get usesProgress(): boolean {
    return this.moment !== null;
  }

  /** Makes `value` an output of the graph called `name`. */
  output(name: string, value: Value): void {
    this.nodes.push({ op: 'Identity', inputs: [value.name], outputs: [name], attributes: {} });
    this.outputs.push({ ...value, name });
  }

  constant(data: Float32Array, shape: readonly number[]): Value {
    return this.addConstant('float32', data, shape);
  }

  /** A constant of any type; `data` must be of it. */
  typed(type: ElementType, data: ConstantData, shape: readonly number[]): Value {
    return this.addConstant(type, data, shape);
  }

  scalar(number: number): Value {
    return this.share(`f${number}`, () => this.addConstant('float32', Float32Array.of(number), []));
  }

  /** A 1-D int64 constant: a shape, a list of axes or of indices. */
  integers(...numbers: readonly number[]): Value {
    return this.share(`i${numbers.join()}`, () =>
      this.addConstant('int64', BigInt64Array.from(numbers, BigInt), [numbers.length]),
    );
  }

  /** Adds one node with one output. `null` stands for an omitted optional input. */
  node(
    op: string,
    inputs: readonly (Value | null)[],
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
    type: ElementType = 'float32',
    domain: Domain = '',
  ): Value {
    const name = `${op.toLowerCase()}_${this.count++}`;
    this.nodes.push({
      op,
      domain,
      inputs: inputs.map((input) => input?.name ?? ''),
      outputs: [name],
      attributes,
    });
    return { name, type, shape };
  }

  // Small helpers for the operators that appear everywhere. Shapes follow numpy broadcasting of equal ranks.
  add = (a: Value, b: Value): Value => this.node('Add', [a, b], broadcast(a, b));
  sub = (a: Value, b: Value): Value => this.node('Sub', [a, b], broadcast(a, b));
  mul = (a: Value, b: Value): Value => this.node('Mul', [a, b], broadcast(a, b));
  div = (a: Value, b: Value): Value => this.node('Div', [a, b], broadcast(a, b));
  scale = (a: Value, factor: number): Value => this.mul(a, this.scalar(factor));
  reshape = (a: Value, shape: readonly number[]): Value =>
    a.shape.join() === shape.join() ? a : this.node('Reshape', [a, this.integers(...shape)], shape);
  transpose = (a: Value, perm: readonly number[]): Value =>
    this.node(
      'Transpose',
      [a],
      perm.map((axis) => a.shape[axis]!),
      { perm },
    );
  /** The `count` largest entries of a vector, in any order. */
  largest(a: Value, count: number): Value {
    const name = `topk_${this.count++}`;
    // Its second output, their places, cannot be left out.
    this.nodes.push({
      op: 'TopK',
      inputs: [a.name, this.integers(count).name],
      outputs: [name, `${name}_places`],
      attributes: { axis: 0, largest: 1, sorted: 0 },
    });
    return { name, type: a.type, shape: [count] };
  }
  toFloat = (a: Value): Value => this.node('Cast', [a], a.shape, { to: 1 });
  sum = (a: Value, axes: readonly number[]): Value =>
    this.node(
      'ReduceSum',
      [a, this.integers(...axes)],
      a.shape.filter((_, axis) => !axes.includes(axis)),
      { keepdims: 0 },
    );

  /** Records how to differentiate `output` with respect to `inputs`. */
  differentiable(inputs: readonly Value[], output: Value, rule: GradientRule): Value {
    this.tape.push({ inputs, output, rule });
    return output;
  }

  /**
   * Adds the nodes that compute d(loss)/d(parameter) for every parameter; `loss` is a scalar, or a tensor whose own gradient is
   * `gradient`.
   */
  gradients(loss: Value, parameters: readonly Value[], gradient = this.scalar(1)): Value[] {
    const dependent = new Set(parameters.map((parameter) => parameter.name));
    for (const { inputs, output } of this.tape)
      if (inputs.some((input) => dependent.has(input.name))) dependent.add(output.name);
    const gradients = new Map<string, Value>([[loss.name, gradient]]);
    for (const { inputs, output, rule } of this.tape.toReversed()) {
      const gradient = gradients.get(output.name);
      if (!gradient) continue;
      const wanted = (input: Value) => dependent.has(input.name);
      for (const [i, contribution] of rule(gradient, wanted).entries()) {
        const input = inputs[i]!;
        if (!contribution || !wanted(input)) continue;
        const earlier = gradients.get(input.name);
        gradients.set(input.name, earlier ? this.add(earlier, contribution) : contribution);
      }
    }
    return parameters.map((parameter) => {
      const gradient = gradients.get(parameter.name);
      if (!gradient) throw internalError(`gradients: the loss does not depend on ${parameter.name}`);
      return gradient;
    });
  }

  /** Leaves out what no output needs: a runtime would compute it all the same, and refuses inputs that lead nowhere. */
  prune(): void {
    const needed = new Set(this.outputs.map(({ name }) => name));
    const nodes = this.nodes.splice(0).toReversed();
    for (const node of nodes) {
      if (!node.outputs.some((name) => needed.has(name))) continue;
      this.nodes.unshift(node);
      for (const name of node.inputs) needed.add(name);
    }
    for (const values of [this.inputs, this.constants])
      values.splice(0, values.length, ...values.filter(({ name }) => needed.has(name)));
  }

  encode(): Uint8Array {
    return encodeOnnx(this);
  }

  private share(key: string, make: () => Value): Value {
    const value = this.shared.get(key) ?? make();
    this.shared.set(key, value);
    return value;
  }

  private addConstant(type: ElementType, data: ConstantData, shape: readonly number[]): Value {
    const value = { name: `constant_${this.count++}`, type, shape, data };
    this.constants.push(value);
    return value;
  }
}

function broadcast(a: Value, b: Value): readonly number[] {
  const [long, short] = a.shape.length >= b.shape.length ? [a.shape, b.shape] : [b.shape, a.shape];
  const offset = long.length - short.length;
  return long.map((size, axis) => (axis < offset ? size : Math.max(size, short[axis - offset]!)));
}
