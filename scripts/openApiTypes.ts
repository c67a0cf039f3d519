// Prints the TypeScript types of an OpenAPI document that standard input holds. openapi-typescript builds them with the
// compiler API of TypeScript 5, which TypeScript 7 does not have: the package `typescript5` takes its place here.
import { registerHooks } from "node:module";
import { text } from "node:stream/consumers";

registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === "typescript" ? "typescript5" : specifier, context),
});
const { astToString, default: toTypes } = await import("openapi-typescript");
const nodes = await toTypes(await text(process.stdin), { immutable: true, defaultNonNullable: false });
process.stdout.write(astToString(nodes));
