// The app on Flex Consumption, and its settings. test/infra/infra.test.ts compares their names with those that the code reads.

import { SecretSetting, Tags, toSecretName } from 'types.bicep'

@export()
@description('Settings of the app that have a default, and are not secret.')
@sealed()
type Settings = {
  @description('Optional. Begins every table\'s name, for an account shared with others.')
  TABLE_PREFIX: string?

  @description('Optional. Contact for push services: mailto: or https. Needed with the secret vapid-keys.')
  VAPID_SUBJECT: string?

  @description('Optional. Hosts of browser endpoints, comma list; replaces the default list.')
  WEB_PUSH_HOSTS: string?

  @description('Optional. Common name of the MPNS certificate.')
  MPNS_SERVICE_NAME: string?

  @description('Optional. Hosts of MPNS channels, comma list; replaces the default list.')
  MPNS_HOSTS: string?

  @description('Optional. Certificates (PEM) of the authorities that MPNS servers are verified against, instead of the system\'s.')
  MPNS_CA: string?

  @description('Optional. Fingerprints of the roots that the MPNS certificate may end in, comma list.')
  MPNS_ROOTS: string?

  @description('Optional. Path of a PEM file inside the package: an additional authority for outgoing TLS.')
  EXTRA_CA_FILE: string?

  @description('Optional. What a device token must allow.')
  AUTH_SCOPE: string?

  @description('Optional. The claim that holds the scopes.')
  AUTH_SCOPE_CLAIM: string?

  @description('Optional. The claim that names the user.')
  AUTH_USER_CLAIM: string?

  @description('Optional. Whether tokens must follow RFC 9068.')
  AUTH_TOKEN_TYPE: ('any' | 'at+jwt')?

  @description('Optional. Signature algorithms, comma list.')
  AUTH_ALGORITHMS: string?

  @description('Optional. Seconds, 0 to 300.')
  AUTH_CLOCK_TOLERANCE: string?

  @description('Optional. Who checks senders: the platform by function key, or the app by token.')
  SEND_AUTH: ('functionKey' | 'token')?

  @description('Optional. The app role that senders\' tokens must hold.')
  SENDER_ROLE: string?

  @description('Optional. Client ids of the senders, comma list.')
  SENDER_CLIENT_IDS: string?

  @description('Optional. Seconds, 60 to 2419200.')
  DEFAULT_TTL: string?

  @description('Optional. Bytes, at most 921600.')
  MAX_PAYLOAD_BYTES: string?

  @description('Optional. A regular expression that every user id must match.')
  USER_ID_PATTERN: string?

  @description('Optional. Installations of one user, at most 1000.')
  MAX_INSTALLATIONS: string?

  @description('Optional. Days, at most 3650.')
  INSTALLATION_TTL: string?

  @description('Optional. Whether sendSecure refuses a call without an Idempotency-Key.')
  REQUIRE_IDEMPOTENCY_KEY: ('true' | 'false')?

  @description('Optional. What a push does where a call does not say.')
  DEFAULT_DISPLAY: ('alert' | 'silent')?

  @description('Optional. Generic title of an alert.')
  ALERT_TITLE: string?

  @description('Optional. Instead: a key that the device app looks up in its own languages.')
  ALERT_TITLE_LOC_KEY: string?

  @description('Optional. Generic text of an alert.')
  ALERT_BODY: string?

  @description('Optional. Instead: a key that the device app looks up in its own languages.')
  ALERT_BODY_LOC_KEY: string?

  @description('Optional. NCRONTAB with six fields, in UTC.')
  REDELIVER_SCHEDULE: string?

  @description('Optional. NCRONTAB with six fields, in UTC.')
  DROP_EXPIRED_SCHEDULE: string?
}

@description('Required. Region of every resource.')
param location string

@description('Required. Tags of every resource.')
param tags Tags

@description('Required. Name of the plan.')
param planName string

@description('Required. Name of the function app.')
@minLength(2)
@maxLength(60)
param appName string

@description('Required. Name of the app\'s identity.')
param identityName string

@description('Required. Name of the storage account.')
param accountName string

@description('Required. Name of the container that holds the deployed package.')
param containerName string

@description('Required. Name of the Application Insights component.')
param insightsName string

@description('Required. Name of the vault.')
param vaultName string

@description('Required. Name of the key-encryption key.')
param keyName string

@description('Required. Name of the secret that holds the hub\'s connection string.')
param secretName string

@description('Required. Settings whose secret exists in the vault.')
param secretSettings SecretSetting[]

@description('Required. Name of the hub.')
param hubName string

@description('Required. Issuers of device tokens, comma list.')
param authIssuer string

@description('Required. Accepted audiences, comma list.')
param authAudience string

@description('Required. Settings that differ from their defaults.')
param settings Settings

@description('Required. Browser origins that may call the app.')
param allowedOrigins string[]

@description('Required. Instances kept warm for HTTP calls.')
param alwaysReady int

@description('Required. Maximum number of instances.')
param maximumInstances int

@description('Required. Memory of an instance, in MB.')
param instanceMemoryMB int

@description('Required. Spreads instances over zones.')
param zoneRedundant bool

@description('Required. Sends outgoing calls through the virtual network.')
param isolated bool

@description('Required. Name of the virtual network, where there is one.')
param networkName string

@description('Required. Name of its subnet for the app.')
param subnetName string

// The platform replaces each reference by the secret's newest version.
var secretReferences = toObject(
  secretSettings,
  setting => setting,
  setting => '@Microsoft.KeyVault(SecretUri=${vault.properties.vaultUri}secrets/${toSecretName(setting)})'
)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName

  resource payloadKey 'keys' existing = {
    name: keyName
  }

  resource hubConnection 'secrets' existing = {
    name: secretName
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-01-01' existing = if (isolated) {
  name: networkName

  resource subnet 'subnets' existing = {
    name: subnetName
  }
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'api' }) // azd finds the app by the service's name in azure.yaml
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    virtualNetworkSubnetId: isolated ? network::subnet.id : null
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      cors: { allowedOrigins: allowedOrigins }
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${account.properties.primaryEndpoints.blob}${containerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: { name: 'node', version: '24' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReady == 0 ? [] : [{ name: 'http', instanceCount: alwaysReady }]
      }
    }
  }

  // The complete list: the next deployment removes what was set by hand.
  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(settings, secretReferences, {
      AzureWebJobsStorage__accountName: account.name
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
      AZURE_CLIENT_ID: identity.properties.clientId
      STORAGE_TABLE_ENDPOINT: account.properties.primaryEndpoints.table
      NOTIFICATION_HUB_CONNECTION_STRING: '@Microsoft.KeyVault(SecretUri=${vault::hubConnection.properties.secretUri})'
      NOTIFICATION_HUB_NAME: hubName
      PAYLOAD_KEK: vault::payloadKey.properties.keyUri
      AUTH_ISSUER: authIssuer
      AUTH_AUDIENCE: authAudience
    })
  }

  // Publishing takes an Entra token; passwords are off.
  resource noFtp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noScm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

@description('Host name of the app.')
output hostName string = app.properties.defaultHostName
