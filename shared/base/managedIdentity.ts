// What is needed only where there is a managed identity. Imported at its first use, and so a file of its own beside the
// bundle: with a connection string and a local key it costs nothing, not even its reading.
export { DefaultAzureCredential } from "@azure/identity";
export { CryptographyClient, KeyClient } from "@azure/keyvault-keys";
