"""What `web_search` and `fetch_url` are made of: search engines, domain filters, and the reading of pages."""
