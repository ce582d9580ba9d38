/** The daemon's own count of its rounds. */

/** Where main.ts has the daemon serve it. */
export const HEALTH_PORT = 9485

/** Number of rounds so far, and seconds that they took in all. */
export async function rounds(): Promise<{ readonly count: number; readonly seconds: number }> {
  const text = await (await fetch(`http://127.0.0.1:${HEALTH_PORT}/metrics`)).text()
  const value = (suffix: string) =>
    Number(new RegExp(`^vrouter_round_duration_seconds_${suffix} (\\S+)$`, 'm').exec(text)![1])
  return { count: value('count'), seconds: value('sum') }
}
