// What several modules speak of. Nothing is deployed from here.

@export()
@description('Tags of a resource.')
type Tags = {
  *: string
}
