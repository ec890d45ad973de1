package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that are used, as JSON spells them.
type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	DataLicense   string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
	Comment  string   `json:"comment,omitempty"`
}

type spdxPackage struct {
	ID        string         `json:"SPDXID"`
	Name      string         `json:"name"`
	Version   string         `json:"versionInfo"`
	File      string         `json:"packageFileName,omitempty"`
	Download  string         `json:"downloadLocation"`
	Analyzed  bool           `json:"filesAnalyzed"`
	Checksums []spdxChecksum `json:"checksums,omitempty"`
	License   string         `json:"licenseConcluded"`
	Declared  string         `json:"licenseDeclared"`
	Copyright string         `json:"copyrightText"`
	Refs      []spdxRef      `json:"externalRefs,omitempty"`
	Comment   string         `json:"comment,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const (
	spdxNone     = "NOASSERTION"
	spdxDocID    = "SPDXRef-DOCUMENT"
	projectURL   = "https://github.com/alpboot/alpboot"
	ownLicense   = "BSD-3-Clause"
	spdxContains = "CONTAINS"
)

// spdxID makes an identifier of a name: it takes letters, digits, dots and dashes.
func spdxID(kind, name string) string {
	return "SPDXRef-" + kind + "-" + strings.Map(func(c rune) rune {
		if strings.ContainsRune(".-", c) || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return c
		}
		return '-'
	}, name)
}

// terms returns the licences of a file with parts, as SPDX spells them, ours first.
func (r *release) terms(parts []string) []string {
	list := []string{ownLicense}
	for _, part := range parts {
		for _, c := range r.parts[part] {
			for _, l := range strings.Split(c.license, " AND ") {
				if !slices.Contains(list, l) {
					list = append(list, l)
				}
			}
		}
	}
	slices.Sort(list[1:])
	return list
}

// describe writes what is in each file made so far.
func (r *release) describe(ctx context.Context) error {
	name := "alpboot-" + r.version
	doc := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: spdxDocID, Name: name,
		Namespace: projectURL + "/spdx/" + name + "-" + strings.Join(r.archs, "-"),
		Creation: spdxCreation{
			Created: r.epoch.Format(time.RFC3339), Creators: []string{"Tool: mkrelease-" + r.version},
			Comment: "Built by " + r.tools(ctx),
		},
	}
	known := map[string]bool{}
	for _, p := range r.products {
		b, err := os.ReadFile(filepath.Join(r.dir, p.name))
		if err != nil {
			return err
		}
		file := spdxPackage{
			ID: spdxID("File", p.name), Name: p.name, Version: r.version, File: p.name, Download: spdxNone, Copyright: spdxNone,
			Checksums: []spdxChecksum{{"SHA256", sum(b)}}, Declared: ownLicense,
		}
		doc.Relationships = append(doc.Relationships, spdxRelationship{spdxDocID, "DESCRIBES", file.ID})
		file.License = strings.Join(r.terms(p.parts), " AND ")
		doc.Packages = append(doc.Packages, file)
		inFile := map[string]bool{}
		for _, part := range p.parts {
			for _, c := range r.parts[part] {
				id := spdxID("Part", c.name+"-"+c.version)
				if inFile[id] {
					continue
				}
				inFile[id] = true
				doc.Relationships = append(doc.Relationships, spdxRelationship{file.ID, spdxContains, id})
				if known[id] {
					continue
				}
				known[id] = true
				other := spdxPackage{ID: id, Name: c.name, Version: c.version, Download: spdxNone, Copyright: spdxNone, License: c.license, Declared: c.license, Comment: c.comment}
				if c.purl != "" {
					other.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", c.purl}}
				}
				doc.Packages = append(doc.Packages, other)
			}
		}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name+".spdx.json", append(text, '\n'))
}
