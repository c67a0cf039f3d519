// The hub, its credentials for each push service, and the app's one rule. This module outputs no key: the vault's module
// reads the rule's key where it stores it.

import { Tags } from 'types.bicep'

@description('Required. Region of every resource.')
param location string

@description('Required. Tags of every resource.')
param tags Tags

@description('Required. Name of the namespace.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Required. Name of the hub.')
param hubName string

@description('Required. Name of the rule that the app uses.')
param ruleName string

@description('Required. Name of the Log Analytics workspace.')
param workspaceName string

@description('Required. Price tier of the namespace. Read only when the namespace is created.')
param sku 'Free' | 'Basic' | 'Standard'

@description('Required. Spreads the namespace over zones. Read only when the namespace is created; needs the tier Standard.')
param zoneRedundant bool

@description('Optional. APNs token credential; absent: no Apple pushes.')
@secure()
param apns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.apnsCredential.properties?

@description('Optional. FCM v1 service account; absent: no Android pushes.')
@secure()
param fcmV1 resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.fcmV1Credential.properties?

@description('Optional. WNS package; absent: no Windows pushes.')
@secure()
param wns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.wnsCredential.properties?

@description('Optional. VAPID keys for browsers; absent: no browser pushes.')
@secure()
param browser resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.browserCredential.properties?

@description('Optional. Amazon Device Messaging client; absent: no Amazon pushes.')
@secure()
param adm resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.admCredential.properties?

@description('Optional. Xiaomi app secret; absent: no Xiaomi pushes.')
@secure()
param xiaomi resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.xiaomiCredential.properties?

@description('Optional. MPNS certificate; absent: the hub does no Windows Phone 8 pushes.')
@secure()
param mpns resourceInput<'Microsoft.NotificationHubs/namespaces/notificationHubs@2023-10-01-preview'>.properties.mpnsCredential.properties?

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

// Azure can refuse to update an existing namespace ("Value cannot be null"), so a second deployment skips it. Tier and
// tags then have to be changed by hand (docs/deployment.md).
@onlyIfNotExists()
resource namespace 'Microsoft.NotificationHubs/namespaces@2023-09-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: { name: sku }
  properties: { zoneRedundancy: zoneRedundant ? 'Enabled' : 'Disabled' }

  // Only the preview version has FCM v1.
  resource hub 'notificationHubs@2023-10-01-preview' = {
    name: hubName
    location: location
    tags: tags
    properties: {
      apnsCredential: apns == null ? null : { properties: apns! }
      fcmV1Credential: fcmV1 == null ? null : { properties: fcmV1! }
      wnsCredential: wns == null ? null : { properties: wns! }
      browserCredential: browser == null ? null : { properties: browser! }
      admCredential: adm == null ? null : { properties: adm! }
      xiaomiCredential: xiaomi == null ? null : { properties: xiaomi! }
      mpnsCredential: mpns == null ? null : { properties: mpns! }
    }

    // Send is for pushes, Listen for installations. The default full rule would also have Manage.
    resource rule 'authorizationRules' = {
      name: ruleName
      properties: { rights: ['Listen', 'Send'] }
    }
  }
}

// Logs management operations (who read or changed a key), not pushes.
resource namespaceLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: namespace
  properties: {
    workspaceId: workspace.id
    logs: [{ category: 'OperationalLogs', enabled: true }]
  }
}
