/** What `imgc plan --format json` says, as a tree. Unaware of the editor. */

/** A node of the plan; `format` 1. */
export interface PlanNode {
  address: string;
  kind: string;
  /** `+` new, `~` changed, `?` pending, a blank or a tick where a cached result fits. */
  mark: string;
  /** Why it runs, in words. */
  cause: string | null;
  why: { cause: string } | null;
  /** The node whose change this one follows. */
  below: string | null;
  /** What it took the last time. */
  seconds: number | null;
}

export interface Plan {
  format: number;
  nodes: PlanNode[];
  to_run: number;
  pending: number;
  cached: number;
  estimate_seconds: number | null;
  refused: { address: string; message: string; help: string | null }[];
}

/** A row of the view. */
export interface Row {
  label: string;
  description: string;
  /** What tells rows apart between two plans. */
  id: string;
  state: 'run' | 'follows' | 'cached' | 'refused' | 'reason' | 'group';
  /** The item of the module that it belongs to. */
  item: string | undefined;
  children: Row[];
}

/** Reads what the command printed; the message of the first error where there is no plan. */
export function readPlan(output: string): Plan | string {
  const lines = output.split('\n').filter((line) => line.trim().startsWith('{'));
  for (const line of lines) {
    let value: any;
    try {
      value = JSON.parse(line);
    } catch {
      continue;
    }
    if (Array.isArray(value.nodes)) {
      return value.format === 1 ? (value as Plan) : `this extension does not know plans of format ${value.format}`;
    }
    const first = value.diagnostics?.find((diagnostic: any) => diagnostic.severity === 'error');
    if (first) {
      return `${first.primary.file}:${first.primary.line}: ${first.message} (${first.code})`;
    }
  }
  return output.trim().split('\n')[0] || 'imgc plan said nothing';
}

/** The name of the item that an address begins with: `web` of `web["a"]/sh "x"`. */
export function itemOf(address: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*/.exec(address)?.[0] ?? address;
}

/** One group an item, in it its nodes in the order of the plan, in each its reason. */
export function rows(plan: Plan): Row[] {
  const groups = new Map<string, Row>();
  for (const node of plan.nodes) {
    const [top = node.address, rest] = split(node.address);
    const item = itemOf(node.address);
    let group = groups.get(top);
    if (!group) {
      // The node of an output has the same address.
      group = { label: top, description: '', id: `item ${top}`, state: 'group', item, children: [] };
      groups.set(top, group);
    }
    group.children.push(row(node, rest ?? node.kind, item));
  }
  const all = [...groups.values()];
  for (const group of all) {
    const runs = group.children.filter((child) => child.state !== 'cached').length;
    group.description = runs === 0 ? 'cached' : `${runs} of ${group.children.length} to run`;
  }
  const refused = plan.refused.map((refusal): Row => ({
    label: refusal.address,
    description: refusal.message,
    id: `refused ${refusal.address}`,
    state: 'refused',
    item: itemOf(refusal.address),
    children: refusal.help ? [reason(refusal.address, refusal.help)] : [],
  }));
  return [...refused, ...all];
}

/** `3 to run, 14 cached, about 12s`. */
export function summary(plan: Plan): string {
  const parts = [`${plan.to_run} to run`];
  if (plan.pending > 0) parts.push(`${plan.pending} pending`);
  parts.push(`${plan.cached} cached`);
  if (plan.to_run > 0 && plan.estimate_seconds !== null) parts.push(`about ${Math.round(plan.estimate_seconds)}s`);
  return parts.join(', ');
}

/** The item with its key, and the rest: a key may hold a `/`. */
function split(address: string): [string, string | undefined] {
  const found = /^([A-Za-z_][A-Za-z0-9_]*(?:\["(?:[^"\\]|\\.)*"\]|\[[^\]]*\])*)(?:\/(.*))?$/s.exec(address);
  return found ? [found[1] ?? address, found[2]] : [address, undefined];
}

function row(node: PlanNode, label: string, item: string): Row {
  const children: Row[] = [];
  if (node.cause) children.push(reason(node.address, node.cause));
  if (node.below) children.push(reason(node.address, `follows ${node.below}`));
  const isNew = node.mark === '+';
  if (isNew && children.length === 0) children.push(reason(node.address, 'never built'));
  const runs = isNew || node.cause !== null;
  const took = node.seconds === null ? '' : `, ${node.seconds.toFixed(1)}s the last time`;
  return {
    label,
    description: `${node.kind}${took}`,
    id: node.address,
    state: runs ? 'run' : node.below ? 'follows' : 'cached',
    item,
    children,
  };
}

function reason(address: string, text: string): Row {
  return { label: text, description: '', id: `${address} ${text}`, state: 'reason', item: undefined, children: [] };
}
