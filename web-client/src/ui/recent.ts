// Which notes changed lately? Asks the server and believes only what has the right shape.
export interface RecentNote {
  readonly name: string;
  readonly changedAt: number;
}

function isNote(value: unknown): value is RecentNote {
  if (typeof value !== 'object' || value === null) return false;
  const { name, changedAt } = value as { readonly name?: unknown; readonly changedAt?: unknown };
  return typeof name === 'string' && name !== '' && typeof changedAt === 'number' && Number.isFinite(changedAt);
}

/** The list, newest first; null when it could not be had. */
export async function recentNotes(get: (address: string) => Promise<Response>): Promise<RecentNote[] | null> {
  try {
    const answer = await get('/api/notes/recent');
    if (!answer.ok) return null;
    const body: unknown = await answer.json();
    if (typeof body !== 'object' || body === null || !('notes' in body) || !Array.isArray(body.notes)) return null;
    return body.notes.filter(isNote).sort((a, b) => b.changedAt - a.changedAt);
  } catch {
    return null;
  }
}
