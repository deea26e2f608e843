#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

// What Node has made of the TypeScript is kept: the next start takes half the time, and less memory.
enableCompileCache(join(import.meta.dirname, '..', '..', '.headwater', 'compile-cache'));
await import('./cli.ts');
