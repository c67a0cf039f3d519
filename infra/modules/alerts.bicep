// What somebody has to be told of. Log alerts go by the app's own lines (`event`, shared/base/log.ts), which sampling in
// host.json leaves alone.

import { Tags } from 'types.bicep'

@description('Required. Region of the log alerts.')
param location string

@description('Required. Tags of every resource.')
param tags Tags

@description('Required. Ends the names of the resources.')
param suffix string

@description('Required. Name of the Application Insights component.')
param insightsName string

@description('Required. Name of the Notification Hubs namespace.')
param namespaceName string

@description('Required. Name of the hub.')
param hubName string

@description('Required. Addresses told of alerts; empty: alerts show in the portal alone.')
param emails string[]

@description('Required. For how long redeliverPushes may not have completed.')
param redeliverPushesWindow 'PT15M' | 'PT30M' | 'PT1H' | 'PT6H' | 'P1D'

@description('Required. Seconds that a push, or another task, may wait in the outbox.')
param oldestPushSeconds int

@description('Required. For how long dropExpired may not have completed.')
param dropExpiredWindow 'PT3H' | 'PT6H' | 'PT12H' | 'P1D' | 'P2D'

@description('Required. Days before a certificate\'s end from which it is an alert.')
param certificateDays int

// Lines are JSON; the message of a trace is the line.
var ownLines = 'traces | where message startswith "{" | extend line = parse_json(message) | extend event = tostring(line.event)'

var hubAlerts = [
  { name: 'failed-requests', metric: 'incoming.all.failedrequests', threshold: 10, severity: 2 }
  { name: 'push-service-errors', metric: 'outgoing.allpns.pnserror', threshold: 10, severity: 2 }
  { name: 'invalid-payloads', metric: 'outgoing.allpns.invalidpayload', threshold: 0, severity: 2 }
  { name: 'apns-credentials', metric: 'outgoing.apns.invalidcredentials', threshold: 0, severity: 1 }
]

var logAlerts = [
  {
    name: 'server-errors'
    title: 'The service answers 5xx'
    query: 'requests | where toint(resultCode) >= 500'
    operator: 'GreaterThan'
    threshold: 5
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'credentials'
    title: 'The hub does not take our credentials'
    query: '${ownLines} | where tostring(line.outcome) == "credentials"' // of pushed, hub_installation_put, …_deleted
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'unreadable'
    title: 'A stored row does not open: damaged, or moved by somebody'
    query: '${ownLines} | where event in ("payload_unreadable", "row_damaged")'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'oldest-push'
    title: 'A push, or another task, has waited too long in the outbox'
    // The app counts to 1000; where there are more, the oldest may be among the others.
    query: '${ownLines} | where event == "pushes_redelivered" and (tolong(line.oldestSeconds) > ${oldestPushSeconds} or tolong(line.open) >= 1000)'
    operator: 'GreaterThan'
    threshold: 0
    window: redeliverPushesWindow
    frequency: 'PT5M'
  }
  {
    name: 'redeliver-pushes'
    title: 'redeliverPushes has not completed: what could not be pushed at once is not pushed'
    query: '${ownLines} | where event == "pushes_redelivered"'
    operator: 'LessThan'
    threshold: 1
    window: redeliverPushesWindow
    frequency: 'PT5M'
  }
  {
    name: 'given-up'
    title: 'A push, or another task, was given up'
    query: '${ownLines} | where event in ("push_given_up", "task_given_up")'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'drop-expired'
    title: 'dropExpired has not completed: expired payloads may still be stored'
    query: '${ownLines} | where event == "expired_dropped"'
    operator: 'LessThan'
    threshold: 1
    window: dropExpiredWindow
    frequency: 'PT1H'
  }
  {
    name: 'certificate'
    title: 'A certificate is near its end, over, or unreadable'
    query: '${ownLines} | where event == "certificate_unreadable" or (event == "certificate_checked" and tolong(line.daysLeft) < ${certificateDays})'
    operator: 'GreaterThan'
    threshold: 0
    window: dropExpiredWindow // in which dropExpired has looked at it
    frequency: 'PT1H'
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource namespace 'Microsoft.NotificationHubs/namespaces@2023-09-01' existing = {
  name: namespaceName

  resource hub 'notificationHubs' existing = {
    name: hubName
  }
}

resource actions 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'ag-${suffix}'
  #disable-next-line no-hardcoded-location // action groups live nowhere else
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'securepush'
    enabled: true
    emailReceivers: [
      for (address, i) in emails: { name: 'mail${i}', emailAddress: address, useCommonAlertSchema: true }
    ]
  }
}

resource metricAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in hubAlerts: {
    name: 'hub-${alert.name}-${suffix}'
    #disable-next-line no-hardcoded-location // metric alerts live nowhere else
    location: 'global'
    tags: tags
    properties: {
      severity: alert.severity
      enabled: true
      scopes: [namespace::hub.id]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: 'Microsoft.NotificationHubs/namespaces/notificationHubs'
            metricName: alert.metric
            operator: 'GreaterThan'
            threshold: alert.threshold
            timeAggregation: 'Total'
          }
        ]
      }
      actions: empty(emails) ? [] : [{ actionGroupId: actions.id }]
    }
  }
]

resource queryAlerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in logAlerts: {
    name: '${alert.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      severity: 1
      enabled: true
      scopes: [insights.id]
      evaluationFrequency: alert.frequency
      windowSize: alert.window
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      actions: { actionGroups: empty(emails) ? [] : [actions.id] }
    }
  }
]
