import type { GatewayContext } from '../../src/http/gateway-context.ts';

/** Groups of these ids, with a member each, in memory. */
export function groupsOf(ids: readonly string[]): NonNullable<GatewayContext['groups']> {
  const bodyOf = (id: string): Buffer =>
    Buffer.from(
      `{"resourceType":"Group","id":"${id}","type":"person","actual":true,"quantity":1.0,"member":[{"entity":{"reference":"Patient/p1"}}]}`,
    );
  return {
    ids: () => Promise.resolve([...ids].sort()),
    read: (wanted) =>
      Promise.resolve(new Map(wanted.filter((id) => ids.includes(id)).map((id) => [id, bodyOf(id)]))),
  };
}
