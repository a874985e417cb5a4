"""HTTP as API Gateway hands it over, and the pages that a person sees."""
