// The vault: the key-encryption key, the hub's connection string (copied from the hub straight into a secret), and the
// secrets that operators put there for other senders. The app's identity may wrap with that key and read those secrets.

import { SecretSetting, Tags, toSecretName } from 'types.bicep'

@description('Required. Region of every resource.')
param location string

@description('Required. Tags of every resource.')
param tags Tags

@description('Required. Name of the vault.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Required. Name of the key-encryption key.')
param keyName string

@description('Required. Name of the secret that holds the hub\'s connection string.')
param secretName string

@description('Required. Settings of the app whose secret exists in the vault.')
param secretSettings SecretSetting[]

@description('Required. Name of the Notification Hubs namespace.')
param namespaceName string

@description('Required. Name of the hub.')
param hubName string

@description('Required. Name of the hub rule that the app uses.')
param ruleName string

@description('Required. Name of the app\'s identity.')
param identityName string

@description('Required. Name of the Log Analytics workspace.')
param workspaceName string

@description('Required. Closes the vault to public networks.')
param closed bool

// Key Vault Crypto Service Encryption User: read, wrap, unwrap.
var wrapOnly = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

resource namespace 'Microsoft.NotificationHubs/namespaces@2023-09-01' existing = {
  name: namespaceName

  resource hub 'notificationHubs@2023-10-01-preview' existing = {
    name: hubName

    resource rule 'authorizationRules' existing = {
      name: ruleName
    }
  }
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true // without the key, no stored payload can be decrypted
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: closed ? 'Deny' : 'Allow'
      bypass: 'None'
    }
  }

  resource hubConnection 'secrets' = {
    name: secretName
    properties: {
      value: namespace::hub::rule.listKeys().primaryConnectionString
      contentType: 'Notification Hubs connection string'
    }
  }

  // Rotates itself. Old versions stay enabled to unwrap what they wrapped. A deployment does not change an existing key.
  resource payloadKey 'keys' = {
    name: keyName
    properties: {
      kty: 'RSA'
      keySize: 3072
      keyOps: ['wrapKey', 'unwrapKey']
      rotationPolicy: {
        attributes: { expiryTime: 'P2Y' }
        lifetimeActions: [
          { trigger: { timeAfterCreate: 'P1Y' }, action: { type: 'rotate' } }
          { trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'notify' } }
        ]
      }
    }
  }
}

resource wrapRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::payloadKey.id, identity.id, wrapOnly)
  scope: vault::payloadKey
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', wrapOnly)
  }
}

resource secretRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::hubConnection.id, identity.id, secretsUser)
  scope: vault::hubConnection
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

// Operators create these secrets (docs/deployment.md). The deployment fails here if one does not exist.
resource senderSecrets 'Microsoft.KeyVault/vaults/secrets@2025-05-01' existing = [
  for setting in secretSettings: {
    parent: vault
    name: toSecretName(setting)
  }
]

resource senderSecretRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (setting, i) in secretSettings: {
    name: guid(senderSecrets[i].id, identity.id, secretsUser)
    scope: senderSecrets[i]
    properties: {
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    }
  }
]

// Records every use, read and change, also refused ones.
resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}
