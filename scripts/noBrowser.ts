// Stands in the bundle for the package `open`, by which @azure/identity would sign a person in through a browser.
export default function open(): never {
  throw new Error("there is no browser here");
}
