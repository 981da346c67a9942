/**
 * Writes ONNX files: the subset of onnx.proto (IR version 10) that a graph of standard operators needs, encoded by
 * protobufjs from its schema. Field numbers are those of the official onnx.proto.
 */
import protobuf from 'protobufjs';

const SCHEMA = `syntax = "proto2"; package onnx;
message AttributeProto {
  enum Type { UNDEFINED = 0; FLOAT = 1; INT = 2; STRING = 3; TENSOR = 4; GRAPH = 5; FLOATS = 6; INTS = 7; }
  optional string name = 1; optional float f = 2; optional int64 i = 3; optional bytes s = 4;
  repeated float floats = 7; repeated int64 ints = 8; optional Type type = 20;
}
message TensorProto { repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8; optional bytes raw_data = 9; }
message TensorShapeProto { message Dimension { optional int64 dim_value = 1; } repeated Dimension dim = 1; }
message TypeProto { message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; } optional Tensor tensor_type = 1; }
message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; }
message NodeProto { repeated string input = 1; repeated string output = 2; optional string name = 3; optional string op_type = 4; repeated AttributeProto attribute = 5; optional string domain = 7; }
message GraphProto { repeated NodeProto node = 1; optional string name = 2; repeated TensorProto initializer = 5; repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12; }
message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
message ModelProto { optional int64 ir_version = 1; optional string producer_name = 2; optional GraphProto graph = 7; repeated OperatorSetIdProto opset_import = 8; }`;

const modelType = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType('onnx.ModelProto');

/** ONNX's numbers for the element types used here. */
const ELEMENT_TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof ELEMENT_TYPE;
export type ConstantData = Float32Array | Uint8Array | Int8Array | BigInt64Array;

/** Integers are INT or INTS, strings STRING; real numbers must be wrapped to tell them from integers. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly op: string;
  /** operator set; the standard one unless given */
  readonly domain?: Domain;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly constants: readonly (OnnxValue & { readonly data: ConstantData })[];
}

/** Operator sets and the versions used: the standard one, and ONNX Runtime's blocked convolutions. */
const OPSETS = { '': 17, 'com.microsoft.nchwc': 1 } as const;
export type Domain = keyof typeof OPSETS;

export function encodeOnnx(graph: OnnxGraph): Uint8Array {
  const info = ({ name, type, shape }: OnnxValue) => ({
    name,
    type: {
      tensor_type: {
        elem_type: ELEMENT_TYPE[type],
        shape: { dim: shape.map((size) => ({ dim_value: size })) },
      },
    },
  });
  return modelType
    .encode(
      modelType.fromObject({
        ir_version: 8,
        producer_name: 'cbnn',
        // A runtime without blocked convolutions refuses even their name: import only what is used.
        opset_import: Object.entries(OPSETS)
          .filter(([domain]) => graph.nodes.some((node) => (node.domain ?? '') === domain))
          .map(([domain, version]) => ({ domain, version })),
        graph: {
          name: 'cbnn',
          node: graph.nodes.map((node, i) => ({
            name: `${node.op}_${i}`,
            op_type: node.op,
            domain: node.domain ?? '',
            input: [...node.inputs],
            output: [...node.outputs],
            attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(name, value)),
          })),
          initializer: graph.constants.map(({ name, type, shape, data }) => ({
            name,
            dims: [...shape],
            data_type: ELEMENT_TYPE[type],
            raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
          })),
          input: graph.inputs.map(info),
          output: graph.outputs.map(info),
        },
      }),
    )
    .finish();
}

function encodeAttribute(name: string, value: Attribute): object {
  if (typeof value === 'string') return { name, type: 'STRING', s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { name, type: 'INT', i: value };
  if ('float' in value) return { name, type: 'FLOAT', f: value.float };
  return { name, type: 'INTS', ints: [...value] };
}
