"""HTTP as API Gateway hands it over, and the pages for a person."""
