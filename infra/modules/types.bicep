// Types and functions that several modules use. Nothing is deployed from here.

@export()
@description('Tags of a resource.')
type Tags = {
  *: string
}

@export()
@description('A setting that the app reads from a secret of the vault. The secret has the same name in lower case, with hyphens: vapid-keys.')
type SecretSetting =
  | 'VAPID_KEYS'
  | 'MPNS_CERTIFICATE'
  | 'MPNS_PRIVATE_KEY'
  | 'MPNS_CERTIFICATE_PASSWORD'
  | 'MPNS_CERTIFICATE_NEXT'
  | 'MPNS_PRIVATE_KEY_NEXT'
  | 'MPNS_CERTIFICATE_NEXT_PASSWORD'

@export()
@description('Name of the secret that holds a setting.')
func toSecretName(setting SecretSetting) string => toLower(replace(setting, '_', '-'))
