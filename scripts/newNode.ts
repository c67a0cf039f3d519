// Stands in the bundle for the package `semver`, by which jsonwebtoken asks whether Node is as new as 6.12, 15.7 and 16.9.
export function satisfies(): boolean {
  return true;
}
