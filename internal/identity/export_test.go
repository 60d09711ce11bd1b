package identity

// ALBKeyAddress is where a key of a load balancer is fetched from.
func ALBKeyAddress(arn, id string) string { return albKeyServer(arn) + "/" + id }
