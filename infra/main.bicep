// Deploys everything that the service needs into one resource group. Names are computed here and passed to the modules,
// so that each module finds the resources of the others. Deploying twice changes nothing.

import { Settings } from 'modules/function-app.bicep'
import { SecretSetting, Tags } from 'modules/types.bicep'

@description('Required. Name of this deployment (the azd environment): one resource group can hold several.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Optional. Region of every resource. Not every region has Flex Consumption.')
@metadata({ azd: { type: 'location' } })
param location string = resourceGroup().location

@description('Optional. Tags of every resource.')
param tags Tags = {}

@description('Required. Accepted audiences of device tokens, comma list: the client id of the API\'s app registration, or its URI for version 1 tokens.')
@minLength(1)
param authAudience string

@description('Optional. Issuers of device tokens, comma list. Default: this Entra tenant, version 2.')
@minLength(1)
param authIssuer string = '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'

@description('Optional. Settings of the app that differ from their defaults.')
param settings Settings = {}

@description('Optional. Settings of the app whose secret exists in the vault. The secret has to exist before it is named here.')
param secretSettings SecretSetting[] = []

@description('Optional. APNs token credential: token, keyId, appId, appName, endpoint. Absent: no Apple pushes.')
@secure()
param apns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.apnsCredential.properties?

@description('Optional. FCM v1 service account: clientEmail, privateKey, projectId. Absent: no Android pushes.')
@secure()
param fcmV1 resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.fcmV1Credential.properties?

@description('Optional. WNS: packageSid, secretKey, windowsLiveEndpoint. Absent: no Windows pushes.')
@secure()
param wns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.wnsCredential.properties?

@description('Optional. Browsers: subject, vapidPublicKey, vapidPrivateKey. Absent: no browser pushes.')
@secure()
param browser resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.browserCredential.properties?

@description('Optional. Amazon Device Messaging: clientId, clientSecret, authTokenUrl. Absent: no Amazon pushes.')
@secure()
param adm resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.admCredential.properties?

@description('Optional. Xiaomi: appSecret, endpoint. Absent: no Xiaomi pushes.')
@secure()
param xiaomi resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.xiaomiCredential.properties?

@description('Optional. MPNS: mpnsCertificate, certificateKey, thumbprint. Absent: the hub does no Windows Phone 8 pushes.')
@secure()
param mpns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.mpnsCredential.properties?

@description('Optional. Price tier of the Notification Hubs namespace. Read when the namespace is created; later changes: docs/deployment.md.')
param hubSku 'Free' | 'Basic' | 'Standard' = 'Free'

@description('Optional. Browser origins that may call the app (CORS).')
param allowedOrigins string[] = []

@description('Optional. Instances kept warm for HTTP calls; at least two with zoneRedundant.')
@minValue(0)
@maxValue(20)
param alwaysReady int = 0

@description('Optional. Maximum number of instances.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 100

@description('Optional. Memory of an instance, in MB.')
param instanceMemoryMB 512 | 2048 | 4096 = 2048

@description('Optional. Spreads app, storage and hub over three zones. Only at the first deployment, in a region with zones, and with hubSku Standard.')
param zoneRedundant bool = false

@description('Optional. Closes storage to public networks, and sends the app\'s calls through a virtual network.')
param isolated bool = false

@description('Optional. Closes the vault too. Only where the platform resolves Key Vault references of such a vault (docs/deployment.md).')
param vaultClosed bool = false

@description('Optional. Address space of the virtual network; a /24 or larger.')
param networkPrefix string = '10.60.0.0/24'

@description('Optional. E-mail addresses that alerts are sent to. Without any, alerts appear only in the portal.')
param alertEmails string[] = []

@description('Optional. Time without a completed pass of redeliverPushes that raises an alert; several times its schedule.')
param redeliverPushesWindow 'PT15M' | 'PT30M' | 'PT1H' | 'PT6H' | 'P1D' = 'PT15M'

@description('Optional. Seconds that a push or another task may wait in the outbox before an alert.')
@minValue(60)
param oldestPushSeconds int = 900

@description('Optional. Time without a completed pass of dropExpired that raises an alert; longer than its schedule.')
param dropExpiredWindow 'PT3H' | 'PT6H' | 'P1D' | 'P2D' = 'PT3H'

@description('Optional. Days before the end of a certificate from which an alert is raised.')
@minValue(0)
param certificateDays int = 30

@description('Optional. Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Optional. GB of logs a day, after which no more are taken in and log alerts see nothing; -1: no limit.')
param logDailyCapGb int = -1

var suffix = uniqueString(subscription().id, resourceGroup().id, environmentName)
var allTags = union(tags, { 'azd-env-name': environmentName })
var identityName = 'id-${suffix}'
var workspaceName = 'log-${suffix}'
var insightsName = 'appi-${suffix}'
var accountName = 'st${suffix}'
var containerName = 'packages'
var namespaceName = 'ntfns-${suffix}'
var hubName = 'ntf-${suffix}'
var ruleName = 'app'
var vaultName = 'kv-${suffix}'
var keyName = 'payload'
var secretName = 'hub-connection'
var planName = 'plan-${suffix}'
var appName = 'func-${suffix}'
var networkName = 'vnet-${suffix}'
var subnetName = 'app'

// The app's only identity. Its roles are in the module of the resource that they allow.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: identityName
  location: location
  tags: allTags
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    location: location
    tags: allTags
    workspaceName: workspaceName
    insightsName: insightsName
    identityName: identityName
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
  dependsOn: [identity]
}

module storage 'modules/storage.bicep' = {
  params: {
    location: location
    tags: allTags
    accountName: accountName
    containerName: containerName
    identityName: identityName
    workspaceName: workspaceName
    zoneRedundant: zoneRedundant
    isolated: isolated
  }
  dependsOn: [identity, monitoring]
}

module notificationHub 'modules/notification-hub.bicep' = {
  params: {
    location: location
    tags: allTags
    namespaceName: namespaceName
    hubName: hubName
    ruleName: ruleName
    workspaceName: workspaceName
    sku: hubSku
    zoneRedundant: zoneRedundant
    apns: apns
    fcmV1: fcmV1
    wns: wns
    browser: browser
    adm: adm
    xiaomi: xiaomi
    mpns: mpns
  }
  dependsOn: [monitoring]
}

module keyVault 'modules/key-vault.bicep' = {
  params: {
    location: location
    tags: allTags
    vaultName: vaultName
    keyName: keyName
    secretName: secretName
    secretSettings: secretSettings
    namespaceName: namespaceName
    hubName: hubName
    ruleName: ruleName
    identityName: identityName
    workspaceName: workspaceName
    closed: isolated && vaultClosed
  }
  dependsOn: [identity, monitoring, notificationHub]
}

module network 'modules/network.bicep' = if (isolated) {
  params: {
    location: location
    tags: allTags
    suffix: suffix
    networkName: networkName
    subnetName: subnetName
    addressPrefix: networkPrefix
    accountName: accountName
    vaultName: vaultName
  }
  dependsOn: [storage, keyVault]
}

// Deployed after the roles, so that the first start can use storage and vault.
module functionApp 'modules/function-app.bicep' = {
  params: {
    location: location
    tags: allTags
    planName: planName
    appName: appName
    identityName: identityName
    accountName: accountName
    containerName: containerName
    insightsName: insightsName
    vaultName: vaultName
    keyName: keyName
    secretName: secretName
    secretSettings: secretSettings
    hubName: hubName
    authIssuer: authIssuer
    authAudience: authAudience
    settings: settings
    allowedOrigins: allowedOrigins
    alwaysReady: alwaysReady
    maximumInstances: maximumInstances
    instanceMemoryMB: instanceMemoryMB
    zoneRedundant: zoneRedundant
    isolated: isolated
    networkName: networkName
    subnetName: subnetName
  }
  dependsOn: [identity, monitoring, storage, keyVault, network]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    location: location
    tags: allTags
    suffix: suffix
    insightsName: insightsName
    namespaceName: namespaceName
    hubName: hubName
    emails: alertEmails
    redeliverPushesWindow: redeliverPushesWindow
    oldestPushSeconds: oldestPushSeconds
    dropExpiredWindow: dropExpiredWindow
    certificateDays: certificateDays
  }
  dependsOn: [monitoring, notificationHub]
}

@description('Base URL that devices and senders call.')
output API_URL string = 'https://${functionApp.outputs.hostName}/api'

@description('Name of the function app, for publishing.')
output FUNCTION_APP_NAME string = appName

@description('Name of the vault, for rotation.')
output KEY_VAULT_NAME string = vaultName

@description('Name of the Notification Hubs namespace, for rotation.')
output HUB_NAMESPACE_NAME string = namespaceName

@description('Name of the hub, for rotation.')
output HUB_NAME string = hubName

@description('Name of the storage account.')
output STORAGE_ACCOUNT_NAME string = accountName
