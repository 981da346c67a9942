/**
 * Weights apart from their network, for trainers that have the rest of a step themselves: what a technique's quantizers make of
 * trained tensors, what the gradients of those weights are to the tensors, and how an optimizer updates them. The technique is the one
 * definition of all three.
 */
import { type Parameter, type Plan, planShapes } from '../nn/plan.js';
import { Graph, type Value } from './graph.js';
import { names } from './names.js';
import { layerInputs } from './network.js';
import { type LayerContext, optimizerOf, parametersOf, type Technique } from './technique.js';

export interface WeightsGraph {
  /** null where all that is wanted is an input */
  readonly bytes: Uint8Array | null;
  /** inputs beside the noises */
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly noises: readonly Value[];
  /** what is wanted, and the output that it is, or the input that it is as it stands */
  readonly sources: ReadonlyMap<string, string>;
}

class Wanted {
  readonly sources = new Map<string, string>();
  constructor(private readonly g: Graph) {}

  add(name: string, value: Value): void {
    const isInput = this.g.inputs.includes(value);
    if (!isInput) this.g.output(name, value);
    this.sources.set(name, isInput ? value.name : name);
  }

  graph(): WeightsGraph {
    const { g, sources } = this;
    g.prune();
    const noises = g.noises.filter((noise) => g.inputs.includes(noise));
    const inputs = g.inputs.filter((input) => !noises.includes(input));
    return { bytes: g.nodes.length > 0 ? g.encode() : null, inputs, outputs: g.outputs, noises, sources };
  }
}

/** Trained tensors -> `names.quantized` of every layer, as it multiplies with them. */
export function quantizerGraph(plan: Plan, technique: Technique, phase: LayerContext['phase']): WeightsGraph {
  const g = new Graph();
  const wanted = new Wanted(g);
  for (const shape of planShapes(plan))
    wanted.add(names.quantized(shape.index), layerInputs(g, plan, technique, shape, phase).quantized);
  return wanted.graph();
}

/** Trained tensors, and gradients of `names.quantized` -> gradients of the trained tensors that those are made of. */
export function quantizerGradients(plan: Plan, technique: Technique): WeightsGraph {
  const g = new Graph();
  const wanted = new Wanted(g);
  for (const shape of planShapes(plan)) {
    const { parameters, values, quantized } = layerInputs(g, plan, technique, shape, 'training');
    const isTrained = ({ role, group }: Parameter) =>
      group !== 'fixed' && role !== 'gamma' && role !== 'beta';
    const trained = values.filter((_, i) => isTrained(parameters[i]!));
    const gradient = g.input(names.gradient(names.quantized(shape.index)), quantized.shape);
    for (const [i, value] of g.gradients(quantized, trained, gradient).entries())
      wanted.add(names.gradient(trained[i]!.name), value);
  }
  return wanted.graph();
}

/** Trained tensors, their moments, `names.gradient` of each and the rates -> `names.next` of all. */
export function updateGraph(plan: Plan, technique: Technique): WeightsGraph {
  const g = new Graph();
  const rates = { binary: g.input(names.rate.binary, []), float: g.input(names.rate.float, []) };
  for (const shape of planShapes(plan))
    for (const parameter of parametersOf(technique, plan, shape)) {
      if (parameter.group === 'fixed') continue;
      const value = g.input(parameter.name, parameter.shape);
      const gradient = g.input(names.gradient(parameter.name), parameter.shape);
      const { group } = parameter;
      optimizerOf(technique, group).update(g, parameter, value, gradient, rates[group]);
    }
  return new Wanted(g).graph();
}
