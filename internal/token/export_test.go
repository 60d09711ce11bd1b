package token

import (
	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// ReadClaims and WriteClaims are the codec without a signature around it, which
// would make fuzzing slow.
func ReadClaims(text []byte, serviceAccount string) (access.Request, error) {
	c, err := jose.ParseClaims(text)
	if err != nil {
		return access.Request{}, err
	}
	return decodeClaims(c, serviceAccount)
}

func WriteClaims(r access.Request, serviceAccount string) ([]byte, error) {
	return encodeClaims(r, serviceAccount)
}

// Carries is whether claims say all that was asked.
func Carries(claims []byte, serviceAccount string, r access.Request) error {
	return NewStore(Config{ServiceAccount: serviceAccount}).carries(claims, r)
}
