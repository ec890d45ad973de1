package efi

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ReadIdentity reads an RSA key and the certificate for it, both in PEM.
func ReadIdentity(keyFile, certFile string) (*rsa.PrivateKey, *x509.Certificate, error) {
	key, err := readKey(keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("the key %s: %w", keyFile, err)
	}
	der, _, err := readPEM(certFile, "CERTIFICATE")
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate %s: %w", certFile, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate %s: %w", certFile, err)
	}
	if public, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, nil, fmt.Errorf("the certificate %s: it is not for the key %s", certFile, keyFile)
	}
	return key, cert, nil
}

func readKey(file string) (*rsa.PrivateKey, error) {
	der, kind, err := readPEM(file, "RSA PRIVATE KEY", "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if kind == "RSA PRIVATE KEY" {
		return x509.ParsePKCS1PrivateKey(der)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an RSA key, which is all that firmware is sure to take")
	}
	return k, nil
}

// readPEM returns the first block of one of these kinds in a file.
func readPEM(file string, kinds ...string) (der []byte, kind string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, "", fmt.Errorf("it holds no PEM block %q", kinds[0])
		}
		if strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
			return nil, "", errors.New("it is encrypted: decrypt it to a file in memory with openssl pkey -in KEY -out /dev/shm/KEY")
		}
		for _, k := range kinds {
			if block.Type == k {
				return block.Bytes, k, nil
			}
		}
	}
}
