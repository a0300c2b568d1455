/** The codec server's process: it has the codec's keys and, to know who calls, the table of people; nothing else. Any number may run. */
import { pino } from 'pino';
import { createDraining } from '../api/draining.ts';
import { tokenCheck } from '../api/token.ts';
import { connectPool } from '../db/pool.ts';
import { codecKeysOf, sealingCodec } from '../delivery/codec.ts';
import { reportTo } from '../keys/file.ts';
import { createCodecApp } from './app.ts';
import { anyone, people } from './callers.ts';
import { readSettings, type CodecSettings } from './settings.ts';

/** How a browser may spell the page's address on this machine. */
const spellings = (url: string): string[] => {
  const { origin } = new URL(url);
  return [...new Set([origin, origin.replace('//127.0.0.1:', '//localhost:'), origin.replace('//localhost:', '//127.0.0.1:')])];
};

async function start(settings: CodecSettings): Promise<void> {
  const log = pino({ name: 'codec', level: settings.LOG_LEVEL });
  const report = reportTo(log);
  const { people: known } = settings;
  const pool = known && connectPool(known.DATABASE_URL, 'kefu-codec', 3);
  const callers =
    known && pool
      ? people(
          await tokenCheck({
            jwksUrl: known.JWT_JWKS_URL,
            keyFile: known.JWT_PUBLIC_KEY_FILE,
            report,
            issuer: known.JWT_ISSUER,
            audience: known.JWT_AUDIENCE,
          }),
          pool,
        )
      : anyone;
  const draining = createDraining(
    createCodecApp({
      codec: sealingCodec(codecKeysOf(settings.CODEC_KEY_FILE, report)),
      namespace: settings.TEMPORAL_NAMESPACE,
      origins: spellings(settings.TEMPORAL_UI_URL),
      ...(known === undefined ? { hosts: [`127.0.0.1:${settings.PORT}`, `localhost:${settings.PORT}`, `[::1]:${settings.PORT}`] } : {}),
      callers,
      log,
      ratePerMinute: settings.CODEC_RATE_PER_MINUTE,
    }),
  );
  const { server } = draining;
  server.requestTimeout = 30_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(settings.PORT, settings.HOST, resolve);
  });
  log.info({ address: server.address() }, 'codec ready');
  const end = (): void => {
    // No load balancer looks elsewhere first: a page asks again.
    void draining.stop(0).then(async () => {
      await pool?.end();
      process.exit(0);
    });
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

try {
  await start(readSettings(process.env));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
