/** Runs services that need each other. The first failure ends the others and is thrown. */
export async function together(
  parts: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const all = AbortSignal.any([signal, failed.signal]);
  let first: { readonly error: unknown } | undefined;
  await Promise.all(
    parts.map(async (part) => {
      try {
        await part(all);
      } catch (error) {
        first ??= { error };
        failed.abort(error);
      }
    }),
  );
  if (first) throw first.error;
}
