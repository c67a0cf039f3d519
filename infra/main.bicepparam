// Reads the parameters from the environment: azd sets its own (`azd env set NAME VALUE`), a shell or a pipeline exports
// them. This file holds no secret. A push service's credential is JSON in one line. Pass every credential that is in use
// to every deployment, because the hub may delete one that is left out.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'secure-push')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')

// Until this is set, no token is accepted.
param authAudience = readEnvironmentVariable('AUTH_AUDIENCE', 'not-set')

// The app's settings as JSON: {"SEND_AUTH":"token","AUTH_USER_CLAIM":"oid"}
param settings = json(readEnvironmentVariable('APP_SETTINGS', '{}'))
// Settings whose secret exists in the vault: ["VAPID_KEYS"]
param secretSettings = json(readEnvironmentVariable('SECRET_SETTINGS', '[]'))

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
