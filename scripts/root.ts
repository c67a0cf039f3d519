// Where the project lies: host.json, package.json, dist/.
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("..", import.meta.url));
