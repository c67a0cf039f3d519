// What the app may use but not keep: the key-encryption key, and the hub's connection string, which goes from the hub
// straight into its secret. The app's identity reads that secret and wraps by that key, and nothing else.

import { Tags } from 'types.bicep'

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
    enablePurgeProtection: true // a key that is lost takes every stored payload with it
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

  // Rotates itself; old versions stay enabled for what they wrapped. A deployment does not change a key that exists.
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

// Who used, read or changed what, refused attempts too.
resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}
