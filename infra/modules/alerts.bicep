// Alerts for operators. Log alerts query the app's own lines by their `event` (shared/base/log.ts); host.json excludes
// these lines from sampling. docs/deployment.md says what to do about each alert.

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

@description('Required. E-mail addresses that alerts are sent to; empty: alerts appear only in the portal.')
param emails string[]

@description('Required. Time without a completed pass of redeliverPushes.')
param redeliverPushesWindow 'PT15M' | 'PT30M' | 'PT1H' | 'PT6H' | 'P1D'

@description('Required. Seconds that a push, or another task, may wait in the outbox.')
param oldestPushSeconds int

@description('Required. Time without a completed pass of dropExpired.')
param dropExpiredWindow 'PT3H' | 'PT6H' | 'P1D' | 'P2D'

@description('Required. Days before the end of a certificate from which an alert is raised.')
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
    title: 'The hub or a push service refuses our credentials'
    query: '${ownLines} | where tostring(line.outcome) == "credentials"' // of pushed, directory_entry_put, directory_entry_removed
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'unreadable'
    title: 'A stored row cannot be decrypted: it is damaged or was moved'
    query: '${ownLines} | where event in ("payload_unreadable", "row_damaged")'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT5M'
  }
  {
    name: 'oldest-push'
    title: 'A push, or another task, has waited too long in the outbox'
    // The app counts at most 1000 rows. With more, the oldest row may be one that it did not count.
    query: '${ownLines} | where event == "pushes_redelivered" and (tolong(line.oldestSeconds) > ${oldestPushSeconds} or tolong(line.open) >= 1000)'
    operator: 'GreaterThan'
    threshold: 0
    window: redeliverPushesWindow
    frequency: 'PT5M'
  }
  {
    name: 'redeliver-pushes'
    title: 'redeliverPushes has not completed: pending pushes are not made'
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
    title: 'A certificate ends soon, has ended, or cannot be used'
    query: '${ownLines} | where event == "certificate_refused" or (event == "certificate_checked" and tolong(line.daysLeft) < ${certificateDays})'
    operator: 'GreaterThan'
    threshold: 0
    window: 'P2D' // logged at each start, and daily
    frequency: 'PT1H'
  }
  {
    name: 'sender-stopped'
    title: 'A configuration error has stopped a sender: its pushes wait'
    query: '${ownLines} | where event == "sender_stopped"'
    operator: 'GreaterThan'
    threshold: 0
    window: 'P2D' // logged at each start, and daily with the certificates
    frequency: 'PT5M'
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
  #disable-next-line no-hardcoded-location // action groups are global
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
    #disable-next-line no-hardcoded-location // metric alerts are global
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
      skipQueryValidation: true // a new component has no tables yet, and the queries would be refused
      actions: { actionGroups: empty(emails) ? [] : [actions.id] }
    }
  }
]
