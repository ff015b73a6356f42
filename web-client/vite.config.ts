// How is the web client built and served: hashed files in dist/assets, nothing inline, nothing from elsewhere.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

// Where `commonplace serve --open` listens unless told otherwise; COMMONPLACE_URL points development elsewhere.
const server = process.env['COMMONPLACE_URL'] ?? 'http://127.0.0.1:8080';
const proxy = {
  '/sync': { target: server, ws: true },
  '/api': { target: server },
};

/** Packs each text file once, beside itself, so that the server need not at each request. */
function packed(): Plugin {
  return {
    name: 'packed',
    apply: 'build',
    writeBundle: ({ dir = 'dist' }) => {
      for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const path = join(dir, name);
        const plain = readFileSync(path);
        writeFileSync(`${path}.br`, brotliCompressSync(plain));
        writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [svelte(), packed()],
  build: {
    target: 'es2022',
    // A font or picture written into the style sheet as a data: address would need a wider content policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { host: '127.0.0.1', proxy },
  preview: { host: '127.0.0.1', proxy },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
  },
  // Component code under test runs as it does in a browser.
  ...(process.env['VITEST'] ? { resolve: { conditions: ['browser'] } } : {}),
});
