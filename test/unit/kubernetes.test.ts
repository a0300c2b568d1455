import { describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { drainMs } from '../../api/draining.ts';
import { systems } from '../../systems/index.ts';
import { processOf, read, refusalOf, root, standIn, unknownNames } from './process-settings.ts';

const folder = 'deploy/kubernetes';

// ── what is in the files, as far as it is ours to hold ─────────────────────
const meta = z.looseObject({ name: z.string() });
const port = z.union([z.string(), z.number()]);
const probe = z.looseObject({
  httpGet: z.strictObject({ path: z.string(), port }),
  periodSeconds: z.number(),
  timeoutSeconds: z.number().default(1),
  failureThreshold: z.number().default(3),
});
const env = z.strictObject({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z.strictObject({ configMapKeyRef: z.strictObject({ name: z.string(), key: z.string() }) }).optional(),
});
const container = z.strictObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  envFrom: z.array(z.strictObject({ configMapRef: z.strictObject({ name: z.string() }) })).default([]),
  env: z.array(env),
  ports: z.array(z.strictObject({ name: z.string(), containerPort: z.number() })).default([]),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
  }),
  resources: z.strictObject({
    requests: z.strictObject({ cpu: z.string(), memory: z.string() }),
    limits: z.strictObject({ memory: z.string() }),
  }),
  volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: z.literal(true).optional() })),
});
const secretVolume = z.strictObject({
  secretName: z.string(),
  defaultMode: z.literal(0o440),
  items: z.array(z.strictObject({ key: z.string(), path: z.string() })).optional(),
});
const podSpec = z.strictObject({
  restartPolicy: z.literal('Never').optional(),
  automountServiceAccountToken: z.literal(false),
  terminationGracePeriodSeconds: z.number().default(30),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.number().min(1),
    runAsGroup: z.number().min(1),
    fsGroup: z.number().min(1),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  topologySpreadConstraints: z.array(z.unknown()).optional(),
  containers: z.tuple([container]),
  volumes: z.array(z.strictObject({ name: z.string(), secret: secretVolume.optional(), emptyDir: z.unknown().optional() })),
});
const template = z.strictObject({ metadata: z.strictObject({ labels: z.record(z.string(), z.string()) }), spec: podSpec });
const selector = z.looseObject({ matchLabels: z.record(z.string(), z.string()).optional() });
const object = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('Namespace'), metadata: meta.extend({ labels: z.record(z.string(), z.string()) }) }),
  z.looseObject({ kind: z.literal('ConfigMap'), metadata: meta, data: z.record(z.string(), z.string()) }),
  z.looseObject({ kind: z.literal('Secret'), metadata: meta, stringData: z.record(z.string(), z.string()) }),
  z.looseObject({ kind: z.literal('Job'), metadata: meta, spec: z.looseObject({ template }) }),
  z.looseObject({
    kind: z.literal('Deployment'),
    metadata: meta,
    spec: z.looseObject({
      replicas: z.number(),
      strategy: z.strictObject({ type: z.literal('RollingUpdate'), rollingUpdate: z.strictObject({ maxUnavailable: z.number(), maxSurge: z.number() }) }),
      selector,
      template,
    }),
  }),
  z.looseObject({
    kind: z.literal('Service'),
    metadata: meta,
    spec: z.looseObject({
      selector: z.record(z.string(), z.string()),
      ports: z.array(z.strictObject({ name: z.string(), port: z.number(), targetPort: port })),
    }),
  }),
  z.looseObject({ kind: z.literal('PodDisruptionBudget'), metadata: meta, spec: z.strictObject({ maxUnavailable: z.literal(1), selector }) }),
  z.looseObject({
    kind: z.literal('HorizontalPodAutoscaler'),
    metadata: meta,
    spec: z.looseObject({ scaleTargetRef: z.looseObject({ name: z.string() }), minReplicas: z.number() }),
  }),
  z.looseObject({
    kind: z.literal('Ingress'),
    metadata: meta,
    spec: z.looseObject({
      rules: z.array(
        z.looseObject({
          host: z.string(),
          http: z.looseObject({
            paths: z.array(
              z.looseObject({
                path: z.string(),
                backend: z.strictObject({ service: z.strictObject({ name: z.string(), port: z.strictObject({ name: z.string() }) }) }),
              }),
            ),
          }),
        }),
      ),
    }),
  }),
  z.looseObject({
    kind: z.literal('NetworkPolicy'),
    metadata: meta,
    spec: z.looseObject({
      podSelector: selector,
      policyTypes: z.array(z.enum(['Ingress', 'Egress'])),
      ingress: z.array(z.looseObject({ ports: z.array(z.looseObject({ port: z.number() })) })).optional(),
    }),
  }),
]);
type KubernetesObject = z.output<typeof object>;
type Kind = KubernetesObject['kind'];
const kustomization = z.looseObject({
  resources: z.array(z.string()),
  images: z.array(z.strictObject({ name: z.string(), newName: z.string(), newTag: z.string() })),
});

const objectsOf = (yaml: string): KubernetesObject[] => parseAllDocuments(yaml).map((document) => object.parse(document.toJS()));
const texts = Object.fromEntries(
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.yaml') && !['kustomization.yaml', 'temporal-values.yaml'].includes(file))
    .map((file) => [file, read(join(folder, file))]),
);
const of = <K extends Kind>(all: readonly KubernetesObject[], kind: K): Extract<KubernetesObject, { kind: K }>[] =>
  all.filter((one): one is Extract<KubernetesObject, { kind: K }> => one.kind === kind);

const secondsToEnd: Readonly<Record<string, (environment: Readonly<Record<string, string>>) => number>> = {
  api: (environment) => (Number(environment['STOP_NOTICE_MS'] ?? 0) + drainMs) / 1000,
  worker: () => 10,
  codec: () => drainMs / 1000,
};

/** The environment of a container, with what it has from the settings. */
function environmentOf({ envFrom, env: own }: z.output<typeof container>, all: readonly KubernetesObject[]): Record<string, string> {
  const settings = of(all, 'ConfigMap');
  const from = envFrom.map(({ configMapRef: { name } }) => settings.find((one) => one.metadata.name === name)?.data ?? {});
  const single = own.map(({ name, value, valueFrom }) => {
    const { name: map, key } = valueFrom?.configMapKeyRef ?? {};
    return [name, value ?? settings.find((one) => one.metadata.name === map)?.data[key ?? ''] ?? ''] as const;
  });
  return { ...Object.assign({}, ...from), ...Object.fromEntries(single) } as Record<string, string>;
}

/** Everything that is wrong with the files, a line each. */
function faultsOf(files: Readonly<Record<string, string>>): string[] {
  const found: string[] = [];
  const all = Object.values(files).flatMap(objectsOf);
  const { images } = kustomization.parse(parse(read(`${folder}/kustomization.yaml`)));
  const secrets = new Map(of(all, 'Secret').map(({ metadata, stringData }) => [metadata.name, Object.keys(stringData)]));
  const deployments = of(all, 'Deployment');
  const pods = [...deployments, ...of(all, 'Job')].map(({ kind, metadata: { name }, spec }) => ({ kind, name, template: spec.template }));
  const labelled = (labels: Readonly<Record<string, string>> = {}) =>
    pods.find(({ template: { metadata } }) => Object.entries(labels).every(([label, value]) => metadata.labels[label] === value));

  for (const { kind, name, template: pod } of pods) {
    const say = (what: string): void => void found.push(`${name} ${what}`);
    const { spec } = pod;
    const [one] = spec.containers;
    const environment = environmentOf(one, all);
    if (!images.some((image) => image.name === one.image)) say(`runs the image ${one.image}, which the kustomization does not name`);
    const [node, module = ''] = one.args;
    const process = processOf(module);
    if (node !== 'node' || !existsSync(join(root, module.replace(/^dist\//, '').replace(/\.js$/, '.ts'))))
      say(`runs ${one.args.join(' ')}, which is not there`);
    if (process === undefined) say(`runs ${module}, which is no process of ours`);
    else for (const unknown of unknownNames(process, Object.keys(environment))) say(`is told ${unknown}, which it does not know`);

    const mounted = new Map<string, readonly string[]>();
    for (const { name: volume, mountPath, readOnly } of one.volumeMounts) {
      const { secret, emptyDir } = spec.volumes.find((it) => it.name === volume) ?? {};
      if (secret === undefined && emptyDir === undefined) say(`mounts ${volume}, which is not there`);
      if (secret === undefined) continue;
      if (readOnly !== true) say(`may write the secret ${secret.secretName}`);
      const keys = secrets.get(secret.secretName);
      if (keys === undefined) say(`mounts the secret ${secret.secretName}, which secrets.example.yaml does not name`);
      for (const { key } of secret.items ?? []) if (keys?.includes(key) === false) say(`mounts ${key} of the secret ${secret.secretName}, which has none`);
      mounted.set(mountPath, secret.items?.map(({ path }) => path) ?? keys ?? []);
    }
    for (const [setting, value] of Object.entries(environment)) {
      if (/(PASSWORD|PWD|SECRET|TOKEN)$/.test(setting) || /:\/\/[^/@]*:[^/@]*@/.test(value)) say(`has a secret in ${setting}`);
      if (!value.startsWith('/run/secrets/')) continue;
      const [mountPath, files] = [...mounted].find(([path]) => value === path || value.startsWith(`${path}/`)) ?? [];
      if (files === undefined || (value !== mountPath && !files.includes(value.slice((mountPath ?? '').length + 1))))
        say(`looks for ${value}, which is not mounted`);
    }

    if (kind === 'Job') continue;
    const ports = new Map(one.ports.map(({ name: named, containerPort }) => [named, containerPort]));
    const listens = Number(environment['PORT'] ?? environment['METRICS_PORT']);
    if (![...ports.values()].includes(listens)) say(`listens on ${listens}, and opens ${[...ports.values()].join()}`);
    const probes = { start: one.startupProbe, liveness: one.livenessProbe, readiness: one.readinessProbe };
    for (const [which, asked] of Object.entries(probes)) {
      if (asked === undefined) {
        say(`is not asked for its ${which}`);
        continue;
      }
      if (!ports.has(String(asked.httpGet.port))) say(`is asked for its ${which} on ${asked.httpGet.port}, which is none of its ports`);
      // Not alive is who hangs; Postgres away is no reason to end a process.
      // The codec server has one answer to both.
      const path = which === 'readiness' && process !== 'codec' ? '/readyz' : '/healthz';
      if (asked.httpGet.path !== path) say(`is asked for its ${which} at ${asked.httpGet.path}, not at ${path}`);
    }
    const needs = secondsToEnd[name]?.(environment) ?? 0;
    // Half as much again: a busy node is slower.
    if (spec.terminationGracePeriodSeconds < 1.5 * needs) say(`is killed after ${spec.terminationGracePeriodSeconds} s, and needs ${needs} s`);
    const { periodSeconds = 0, timeoutSeconds = 0, failureThreshold = 0 } = one.readinessProbe ?? {};
    const unready = failureThreshold * periodSeconds + timeoutSeconds;
    if (process === 'api' && !(Number(environment['STOP_NOTICE_MS']) / 1000 >= unready))
      say(`takes requests for ${environment['STOP_NOTICE_MS']} ms after SIGTERM, and is seen to go after ${unready} s`);
  }

  for (const {
    metadata: { name },
    spec,
  } of deployments) {
    const { maxUnavailable, maxSurge } = spec.strategy.rollingUpdate;
    if (spec.replicas < 2) found.push(`${name} runs once`);
    if (maxUnavailable !== 1 || maxSurge !== 0) found.push(`${name} is not rolled out one after the other`);
    if (labelled(spec.selector.matchLabels)?.name !== name) found.push(`${name} selects other pods`);
    if (!of(all, 'PodDisruptionBudget').some((budget) => labelled(budget.spec.selector.matchLabels)?.name === name))
      found.push(`${name} has no disruption budget`);
    const own = of(all, 'NetworkPolicy').filter(
      (policy) => policy.spec.podSelector.matchLabels !== undefined && labelled(policy.spec.podSelector.matchLabels)?.name === name,
    );
    const open = own.flatMap((policy) => policy.spec.ingress ?? []).flatMap((rule) => rule.ports.map((it) => it.port));
    const listens = spec.template.spec.containers[0].ports.map(({ containerPort }) => containerPort);
    if (!(open.every((it) => listens.includes(it)) && listens.every((it) => open.includes(it))))
      found.push(`${name} listens on ${listens.join()}, and its network policy lets in ${open.join()}`);
  }
  const nothing = of(all, 'NetworkPolicy').find(
    ({ spec }) => spec.podSelector.matchLabels === undefined && spec.policyTypes.length === 2 && !('egress' in spec),
  );
  if (nothing === undefined) found.push('no network policy forbids what is not allowed');
  for (const {
    metadata: { name },
    spec,
  } of of(all, 'Service')) {
    const target = labelled(spec.selector);
    for (const { targetPort } of spec.ports)
      if (!target?.template.spec.containers[0].ports.some((it) => it.name === targetPort))
        found.push(`the service ${name} sends to ${targetPort}, which its pods do not open`);
  }
  for (const { spec } of of(all, 'Ingress'))
    for (const { host, http } of spec.rules) {
      if (of(all, 'ConfigMap')[0]?.data['PUBLIC_URL'] !== `https://${host}`) found.push(`the ingress is at ${host}, and PUBLIC_URL is elsewhere`);
      for (const { path, backend } of http.paths) {
        const service = of(all, 'Service').find(({ metadata }) => metadata.name === backend.service.name);
        if (!service?.spec.ports.some(({ name }) => name === backend.service.port.name)) found.push(`the ingress sends ${path} to a service that is not there`);
      }
    }
  for (const { spec } of of(all, 'HorizontalPodAutoscaler'))
    if (!deployments.some(({ metadata, spec: { replicas } }) => metadata.name === spec.scaleTargetRef.name && replicas === spec.minReplicas))
      found.push(`nothing is scaled: ${spec.scaleTargetRef.name}`);
  return found;
}

describe('deploy/kubernetes', () => {
  test('lists every file that is to be applied, and only those', () => {
    const { resources } = kustomization.parse(parse(read(`${folder}/kustomization.yaml`)));
    expect(resources.toSorted()).toEqual(
      Object.keys(texts)
        .filter((file) => !['secrets.example.yaml', 'autoscaling.yaml'].includes(file))
        .toSorted(),
    );
    expect(read(`${folder}/kustomization.yaml`)).toContain('# - autoscaling.yaml');
  });

  test('fits together, and our code: images, modules, settings, secrets, ports, probes, time to end, network', () => {
    expect(faultsOf(texts)).toEqual([]);
  });

  test.each([
    ['a misspelt setting', 'settings.yaml', 'PUBLIC_URL:', 'PUBLIC_URI:', 'api is told PUBLIC_URI, which it does not know'],
    ['another port', 'api.yaml', "PORT, value: '7400'", "PORT, value: '7401'", 'api listens on 7401, and opens 7400'],
    ['a module that is not there', 'worker.yaml', 'dist/worker/main.js', 'dist/worker.js', 'worker runs node dist/worker.js, which is not there'],
    ['a probe elsewhere', 'api.yaml', 'path: /readyz', 'path: /ready', 'api is asked for its readiness at /ready, not at /readyz'],
    ['no time to end', 'api.yaml', 'terminationGracePeriodSeconds: 40', 'terminationGracePeriodSeconds: 20', 'api is killed after 20 s, and needs 19.5 s'],
    [
      'too short a notice',
      'api.yaml',
      "STOP_NOTICE_MS, value: '15000'",
      "STOP_NOTICE_MS, value: '3000'",
      'api takes requests for 3000 ms after SIGTERM, and is seen to go after 15 s',
    ],
    [
      'a key that is not mounted',
      'worker.yaml',
      '              - { key: link.key, path: link.key }\n',
      '',
      'worker looks for /run/secrets/keys/link.key, which is not mounted',
    ],
    ['a secret in the settings', 'settings.yaml', 'postgres://kefu@', 'postgres://kefu:x@', 'worker has a secret in DATABASE_URL'],
    ['a port that is closed', 'network-policy.yaml', 'port: 9464', 'port: 9465', 'worker listens on 9464, and its network policy lets in 9465'],
    ['a single worker', 'worker.yaml', 'replicas: 2', 'replicas: 1', 'worker runs once'],
  ])('would be convicted of %s', (_what, file, from, to, fault) => {
    expect(texts[file]).toContain(from);
    expect(faultsOf({ ...texts, [file]: texts[file]?.replace(from, to) ?? '' })).toContain(fault);
  });

  test.each(['api', 'worker', 'codec'] as const)('tells the %s everything that it needs to start', async (name) => {
    const all = Object.values(texts).flatMap(objectsOf);
    const [one] = of(all, 'Deployment').find(({ metadata }) => metadata.name === name)?.spec.template.spec.containers ?? [];
    if (one === undefined) throw new Error(`there is no ${name}`);
    const environment = await standIn(environmentOf(one, all), {
      keys: '/run/secrets/keys',
      secrets: '/run/secrets',
      secretNames: ['database/password', 'evidence/secret-key'],
    });
    expect(refusalOf(name, environment)).toBeUndefined();
    const { CODEC_KEY_FILE: _, ...without } = environment;
    expect(refusalOf(name, without)).toContain('CODEC_KEY_FILE');
  });

  test('asks for the webhook secret of every system, and for pods as restricted as these', () => {
    const all = Object.values(texts).flatMap(objectsOf);
    const keys = Object.keys(of(all, 'Secret').find(({ metadata }) => metadata.name === 'keys')?.stringData ?? {});
    for (const system of Object.keys(systems)) expect(keys).toContain(`webhook-${system}.secret`);
    for (const { stringData } of of(all, 'Secret')) expect(new Set(Object.values(stringData))).toEqual(new Set(['']));
    expect(of(all, 'Namespace')[0]?.metadata.labels['pod-security.kubernetes.io/enforce']).toBe('restricted');
  });

  test('has the version of the package', () => {
    const { version } = z.object({ version: z.string() }).parse(JSON.parse(read('package.json')));
    expect(kustomization.parse(parse(read(`${folder}/kustomization.yaml`))).images.map(({ newTag }) => newTag)).toEqual([version]);
  });
});

describe("Temporal's chart", () => {
  const image = z.looseObject({ image: z.strictObject({ tag: z.string() }) });
  const sql = z.looseObject({ sql: z.looseObject({ pluginName: z.string(), databaseName: z.string(), existingSecret: z.string() }) });
  const values = z
    .strictObject({
      server: image.extend({
        config: z.looseObject({
          persistence: z.strictObject({ numHistoryShards: z.number(), datastores: z.strictObject({ default: sql, visibility: sql }) }),
          namespaces: z.strictObject({ create: z.literal(true), namespace: z.array(z.strictObject({ name: z.string(), retention: z.string() })) }),
        }),
        dynamicConfig: z.unknown(),
      }),
      admintools: image,
      web: image,
    })
    .parse(parse(read(`${folder}/temporal-values.yaml`), { merge: true }));

  test('is given the versions, the plugin, the databases and the namespace that the compose file has', () => {
    const compose = read('docker-compose.yml');
    const tag = (name: string): string | undefined => new RegExp(`temporalio/${name}:(\\S+)`).exec(compose)?.[1];
    expect([values.server.image.tag, values.admintools.image.tag, values.web.image.tag]).toEqual([tag('server'), tag('admin-tools'), tag('ui')]);
    const { default: store, visibility } = values.server.config.persistence.datastores;
    for (const { sql: one } of [store, visibility]) expect(compose).toContain(`DB: ${one.pluginName}`);
    const schema = read('deploy/temporal-schema.sh');
    expect(schema).toContain(`for name in ${store.sql.databaseName} ${visibility.sql.databaseName};`);
    const settings = objectsOf(read(`${folder}/settings.yaml`))[0];
    expect(values.server.config.namespaces.namespace.map(({ name }) => name)).toEqual([
      settings?.kind === 'ConfigMap' ? settings.data['TEMPORAL_NAMESPACE'] : '',
    ]);
  });

  test('is given our dynamic configuration', () => {
    expect(values.server.dynamicConfig).toEqual(parse(read('deploy/temporal-dynamic.yaml')));
  });
});
