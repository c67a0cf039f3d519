// The parameters, from the environment: azd hands in its own (`azd env set NAME VALUE`), a shell or a pipeline what it
// exports. No secret stands here. A push service's credential is JSON in one line, and every deployment needs the ones
// in use: the hub forgets one that is left out.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'secure-push')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')

// Until it is set, no token is accepted.
param authAudience = readEnvironmentVariable('AUTH_AUDIENCE', 'not-set')

// Names and values as in the README's table, as JSON: {"SEND_AUTH":"token","AUTH_USER_CLAIM":"oid"}
param settings = json(readEnvironmentVariable('APP_SETTINGS', '{}'))

param apns = json(readEnvironmentVariable('APNS_CREDENTIAL', 'null'))
param fcmV1 = json(readEnvironmentVariable('FCM_V1_CREDENTIAL', 'null'))
param wns = json(readEnvironmentVariable('WNS_CREDENTIAL', 'null'))
param browser = json(readEnvironmentVariable('BROWSER_CREDENTIAL', 'null'))
param adm = json(readEnvironmentVariable('ADM_CREDENTIAL', 'null'))
param xiaomi = json(readEnvironmentVariable('XIAOMI_CREDENTIAL', 'null'))
param mpns = json(readEnvironmentVariable('MPNS_CREDENTIAL', 'null'))

param hubSku = readEnvironmentVariable('HUB_SKU', 'Free')
param allowedOrigins = json(readEnvironmentVariable('ALLOWED_ORIGINS', '[]'))
param alertEmails = json(readEnvironmentVariable('ALERT_EMAILS', '[]'))
param alwaysReady = int(readEnvironmentVariable('ALWAYS_READY', '0'))
param maximumInstances = int(readEnvironmentVariable('MAXIMUM_INSTANCES', '100'))
param zoneRedundant = bool(readEnvironmentVariable('ZONE_REDUNDANT', 'false'))
param isolated = bool(readEnvironmentVariable('ISOLATED', 'false'))
