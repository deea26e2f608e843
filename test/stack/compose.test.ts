import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { composeEnvironment, composeFile } from '../../src/stack/docker/compose.ts';
import { IMAGES, kafkaContainerEnvironment } from '../../src/stack/docker/containers.ts';
import { DEFAULT_PORTS } from '../../src/stack/ports.ts';

const text = readFileSync(composeFile, 'utf8');

describe('compose.yaml', () => {
  it('has the images the tests use, pinned', () => {
    for (const image of Object.values(IMAGES)) assert.ok(text.includes(`image: ${image}\n`), image);
    assert.doesNotMatch(text, /image: (?!.*:\d+\.\d+)/);
  });

  it('takes every port by the name the stack gives it, with the same default', () => {
    for (const [name, value] of Object.entries(composeEnvironment(DEFAULT_PORTS, {}))) {
      assert.ok(text.includes(`127.0.0.1:\${${name}:-${value ?? ''}}:`), name);
    }
  });

  it('configures Kafka as the tests have it', () => {
    const places = /LISTENER|VOTERS/; // these name hosts
    for (const [name, value] of Object.entries(kafkaContainerEnvironment(9055))) {
      if (!places.test(name)) assert.match(text, new RegExp(`${name}: '?${value}'?\\n`), name);
    }
  });
});

describe('the image', () => {
  it('serves: the stack is given, and nobody waits for an export at a terminal', () => {
    const dockerfile = readFileSync(join(dirname(composeFile), 'Dockerfile'), 'utf8');
    assert.match(dockerfile, /^CMD \["node", "src\/main\/headwater\.ts", "serve"\]$/m);
  });
});
