import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { composeEnvironment, composeFile } from '../../src/stack/docker/compose.ts';
import { IMAGES, kafkaContainerEnvironment } from '../../src/stack/docker/containers.ts';
import { STORE_IMAGES } from '../support/store-container.ts';
import { DEFAULT_PORTS } from '../../src/stack/ports.ts';

const text = readFileSync(composeFile, 'utf8');

describe('compose.yaml', () => {
  it('has the same pinned images as the tests', () => {
    for (const image of [...Object.values(IMAGES), ...Object.values(STORE_IMAGES)])
      assert.ok(text.includes(`image: ${image}\n`), image);
    assert.doesNotMatch(text, /image: (?!.*:v?\d+\.\d+)/);
  });

  it("reads every port from the stack's variable, with the same default", () => {
    for (const [name, value] of Object.entries(composeEnvironment(DEFAULT_PORTS, {}))) {
      assert.ok(text.includes(`127.0.0.1:\${${name}:-${value ?? ''}}:`), name);
    }
  });

  it('configures Kafka like the tests', () => {
    const places = /LISTENER|VOTERS/; // these name hosts
    for (const [name, value] of Object.entries(kafkaContainerEnvironment(9055))) {
      if (!places.test(name)) assert.match(text, new RegExp(`${name}: '?${value}'?\\n`), name);
    }
  });
});

describe('the image', () => {
  it('runs the command serve with a given stack', () => {
    const dockerfile = readFileSync(join(dirname(composeFile), 'Dockerfile'), 'utf8');
    assert.match(dockerfile, /^CMD \["node", "src\/main\/headwater\.ts", "serve"\]$/m);
  });
});
