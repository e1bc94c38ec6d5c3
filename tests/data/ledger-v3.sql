SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.account_entries (
    id bigint NOT NULL,
    account text NOT NULL,
    began_us bigint,
    at_us bigint NOT NULL,
    kind text NOT NULL,
    amount_ugx bigint,
    note text,
    who text NOT NULL
);
CREATE SEQUENCE public.account_entries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.account_entries_id_seq OWNED BY public.account_entries.id;
CREATE TABLE public.accounts (
    account text NOT NULL,
    balance_ugx bigint,
    balance_at_us bigint,
    next_call_at_us bigint DEFAULT '0'::bigint NOT NULL,
    settling_until_us bigint DEFAULT '0'::bigint NOT NULL,
    credentials_latch text
);
CREATE TABLE public.archives (
    campaign_id bigint NOT NULL,
    file text NOT NULL,
    rows bigint NOT NULL,
    digest text NOT NULL,
    archived_at_us bigint NOT NULL,
    rejected text NOT NULL,
    left_out text NOT NULL
);
CREATE TABLE public.attempts (
    id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    chunk bigint NOT NULL,
    account text NOT NULL,
    run text NOT NULL,
    epoch bigint NOT NULL,
    intent_at_us bigint NOT NULL,
    ended_at_us bigint,
    submitted_count integer NOT NULL,
    expected_ugx bigint NOT NULL,
    verdict character varying(8),
    reason text,
    http_status integer,
    api_messages text,
    recipients_count bigint,
    message_count bigint,
    sms_sent bigint,
    charged_ugx bigint,
    exposed_ugx bigint,
    charged_each_ugx bigint,
    unsupported_charged boolean DEFAULT false NOT NULL,
    cost_raw text,
    balance_after_ugx bigint,
    unsupported_count bigint,
    consistent boolean,
    agrees boolean,
    alarms text,
    evidence text,
    raw_reply text,
    CONSTRAINT ended_has_verdict CHECK (((verdict IS NULL) = (ended_at_us IS NULL))),
    CONSTRAINT known_verdict CHECK (((verdict)::text = ANY ((ARRAY['not_sent'::character varying, 'accepted'::character varying, 'refused'::character varying, 'unknown'::character varying])::text[])))
);
CREATE SEQUENCE public.attempts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.attempts_id_seq OWNED BY public.attempts.id;
CREATE TABLE public.campaigns (
    id bigint NOT NULL,
    name text NOT NULL,
    edition text NOT NULL,
    account text NOT NULL,
    host text NOT NULL,
    state character varying(17) NOT NULL,
    stop_reason text,
    stop_detail text,
    sender_epoch bigint DEFAULT '0'::bigint NOT NULL,
    canary character varying(9) NOT NULL,
    canary_calls integer NOT NULL,
    content_digest text NOT NULL,
    plan_digest text NOT NULL,
    source text NOT NULL,
    source_digest text NOT NULL,
    sender_id text NOT NULL,
    category text NOT NULL,
    message text NOT NULL,
    settings text NOT NULL,
    kept_columns text NOT NULL,
    versions text NOT NULL,
    rows bigint NOT NULL,
    sendable bigint NOT NULL,
    calls bigint NOT NULL,
    segments bigint NOT NULL,
    estimated_ugx bigint NOT NULL,
    planned_at_us bigint NOT NULL,
    first_call_at_us bigint,
    ended_at_us bigint,
    held_by text,
    is_test boolean DEFAULT false NOT NULL,
    erased_at_us bigint,
    CONSTRAINT known_campaignstate CHECK (((state)::text = ANY ((ARRAY['planning'::character varying, 'planned'::character varying, 'awaiting_approval'::character varying, 'sending'::character varying, 'paused'::character varying, 'complete'::character varying, 'cancelled'::character varying, 'skipped'::character varying])::text[]))),
    CONSTRAINT known_canarystate CHECK (((canary)::text = ANY ((ARRAY['pending'::character varying, 'agreed'::character varying, 'disagreed'::character varying, 'waived'::character varying])::text[])))
);
CREATE SEQUENCE public.campaigns_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.campaigns_id_seq OWNED BY public.campaigns.id;
CREATE TABLE public.chunks (
    campaign_id bigint NOT NULL,
    chunk bigint NOT NULL,
    parent bigint,
    label integer,
    canary boolean NOT NULL,
    text text NOT NULL,
    text_key bigint NOT NULL,
    encoding text NOT NULL,
    segments integer NOT NULL,
    recipients_count integer NOT NULL,
    expected_ugx bigint NOT NULL,
    state character varying(9) NOT NULL,
    last_attempt bigint,
    CONSTRAINT known_chunkstate CHECK (((state)::text = ANY ((ARRAY['planned'::character varying, 'in_flight'::character varying, 'accepted'::character varying, 'refused'::character varying, 'unknown'::character varying, 'split'::character varying, 'skipped'::character varying, 'cancelled'::character varying])::text[])))
);
CREATE TABLE public.deliveries (
    campaign_id bigint NOT NULL,
    "row" bigint NOT NULL,
    attempt_id bigint NOT NULL,
    status character varying(9) NOT NULL,
    status_raw text NOT NULL,
    reported_at_us bigint,
    source text NOT NULL,
    imported_at_us bigint NOT NULL,
    CONSTRAINT known_delivery CHECK (((status)::text = ANY ((ARRAY['delivered'::character varying, 'failed'::character varying, 'pending'::character varying])::text[])))
);
CREATE TABLE public.events (
    id bigint NOT NULL,
    campaign_id bigint,
    account text NOT NULL,
    at_us bigint NOT NULL,
    kind text NOT NULL,
    who text NOT NULL,
    detail text
);
CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.ledger_meta (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.recipient_exceptions (
    campaign_id bigint NOT NULL,
    "row" bigint NOT NULL,
    attempt_id bigint,
    kind character varying(11),
    remainder_ugx bigint DEFAULT '0'::bigint NOT NULL,
    estimated_ugx bigint,
    CONSTRAINT known_exceptionkind CHECK (((kind)::text = ANY ((ARRAY['unsupported'::character varying, 'unverified'::character varying])::text[])))
);
CREATE TABLE public.recipients (
    campaign_id bigint NOT NULL,
    "row" bigint NOT NULL,
    phone_raw text,
    msisdn bigint,
    network_guess text,
    reason text,
    chunk bigint,
    message text,
    encoding text,
    segments integer,
    estimated_ugx bigint,
    kept text
);
CREATE VIEW public.results AS
 SELECT campaigns.id AS campaign_id,
    campaigns.name AS campaign,
    campaigns.edition,
    recipients."row",
    recipients.phone_raw,
    ('+'::text || (recipients.msisdn)::text) AS e164,
    recipients.network_guess,
        CASE
            WHEN (recipients.reason IS NOT NULL) THEN 'rejected'::text
            WHEN (recipient_exceptions.kind IS NOT NULL) THEN (recipient_exceptions.kind)::text
            WHEN ((chunks.state)::text = 'planned'::text) THEN 'planned'::text
            WHEN ((chunks.state)::text = 'in_flight'::text) THEN 'in_flight'::text
            WHEN ((chunks.state)::text = 'accepted'::text) THEN 'accepted'::text
            WHEN ((chunks.state)::text = 'refused'::text) THEN 'refused'::text
            WHEN ((chunks.state)::text = 'unknown'::text) THEN 'unknown'::text
            WHEN ((chunks.state)::text = 'split'::text) THEN 'rejected'::text
            WHEN ((chunks.state)::text = 'skipped'::text) THEN 'rejected'::text
            WHEN ((chunks.state)::text = 'cancelled'::text) THEN 'cancelled'::text
            ELSE NULL::text
        END AS outcome,
        CASE
            WHEN (recipients.reason IS NOT NULL) THEN recipients.reason
            WHEN (recipient_exceptions.kind IS NOT NULL) THEN (recipient_exceptions.kind)::text
            WHEN ((chunks.state)::text = ANY ((ARRAY['planned'::character varying, 'in_flight'::character varying, 'accepted'::character varying])::text[])) THEN NULL::text
            WHEN ((chunks.state)::text = 'cancelled'::text) THEN 'cancelled'::text
            ELSE attempts.reason
        END AS reason,
        CASE
            WHEN (recipients.msisdn IS NOT NULL) THEN COALESCE(recipients.message, chunks.text)
            ELSE recipients.message
        END AS message,
    COALESCE(recipients.encoding, chunks.encoding) AS encoding,
    recipients.segments,
    recipients.estimated_ugx,
        CASE
            WHEN (((chunks.state)::text = 'accepted'::text) AND ((recipient_exceptions.kind IS NULL) OR ((recipient_exceptions.kind)::text <> 'unsupported'::text) OR attempts.unsupported_charged)) THEN (attempts.charged_each_ugx + COALESCE(recipient_exceptions.remainder_ugx, (0)::bigint))
            WHEN (((chunks.state)::text = 'accepted'::text) AND (attempts.charged_ugx IS NOT NULL)) THEN (0)::bigint
            ELSE NULL::bigint
        END AS charged_ugx,
    recipients.chunk,
        CASE
            WHEN ((chunks.state)::text = ANY ((ARRAY['in_flight'::character varying, 'accepted'::character varying, 'refused'::character varying, 'unknown'::character varying])::text[])) THEN attempts.id
            ELSE NULL::bigint
        END AS attempt,
        CASE
            WHEN ((chunks.state)::text = ANY ((ARRAY['in_flight'::character varying, 'accepted'::character varying, 'refused'::character varying, 'unknown'::character varying])::text[])) THEN attempts.intent_at_us
            ELSE NULL::bigint
        END AS sent_at_us,
        CASE
            WHEN ((recipients.reason IS NULL) AND (recipient_exceptions.kind IS NULL) AND ((chunks.state)::text = 'accepted'::text)) THEN COALESCE((deliveries.status)::text, 'not_reported'::text)
            ELSE NULL::text
        END AS delivery,
    recipients.kept
   FROM (((((public.recipients
     JOIN public.campaigns ON ((campaigns.id = recipients.campaign_id)))
     LEFT JOIN public.chunks ON (((chunks.campaign_id = recipients.campaign_id) AND (chunks.chunk = recipients.chunk))))
     LEFT JOIN public.attempts ON ((attempts.id = chunks.last_attempt)))
     LEFT JOIN public.recipient_exceptions ON (((recipient_exceptions.campaign_id = recipients.campaign_id) AND (recipient_exceptions."row" = recipients."row"))))
     LEFT JOIN public.deliveries ON (((deliveries.campaign_id = recipients.campaign_id) AND (deliveries."row" = recipients."row") AND (deliveries.attempt_id = chunks.last_attempt))));
CREATE TABLE public.suppressions (
    msisdn bigint NOT NULL,
    campaign_id bigint NOT NULL,
    since_us bigint NOT NULL,
    source text NOT NULL
);
CREATE TABLE public.unsupported (
    id bigint NOT NULL,
    attempt_id bigint NOT NULL,
    raw text NOT NULL,
    "row" bigint
);
CREATE SEQUENCE public.unsupported_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.unsupported_id_seq OWNED BY public.unsupported.id;
ALTER TABLE ONLY public.account_entries ALTER COLUMN id SET DEFAULT nextval('public.account_entries_id_seq'::regclass);
ALTER TABLE ONLY public.attempts ALTER COLUMN id SET DEFAULT nextval('public.attempts_id_seq'::regclass);
ALTER TABLE ONLY public.campaigns ALTER COLUMN id SET DEFAULT nextval('public.campaigns_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.unsupported ALTER COLUMN id SET DEFAULT nextval('public.unsupported_id_seq'::regclass);
INSERT INTO public.account_entries VALUES (1, 'main', 1772442120000000, 1772442120000000, 'reading', 8000, NULL, 'officer');
INSERT INTO public.account_entries VALUES (2, 'second', NULL, 1772442000000000, 'latch', NULL, 'Invalid credentials', 'officer');
INSERT INTO public.accounts VALUES ('main', 8000, 1772442120000000, 0, 0, NULL);
INSERT INTO public.accounts VALUES ('second', NULL, NULL, 0, 0, 'Invalid credentials');
INSERT INTO public.attempts VALUES (5, 1, 5, 'main', 'run', 1, 1772442000000000, NULL, 1, 50, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 50, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, 1, 1, 'main', 'run', 1, 1772442000000000, 1772442002000000, 3, 150, 'accepted', 'ok', 200, 'Sent', 2, 1, 2, 101, NULL, 50, false, NULL, 8580, 1, true, NULL, NULL, NULL, '{"statusCode": 201, "success": true, "messages": ["Sent"], "data": {"recipients_count": 2, "message_count": 1, "sms_sent": 2, "sms_cost": 101, "new_balance": 8580, "unsupported_contacts_count": 1, "unsupported_contacts": ["+256772000002"]}}');
INSERT INTO public.attempts VALUES (2, 1, 2, 'main', 'run', 1, 1772442000000000, 1772442002000000, 2, 100, 'accepted', 'count_above_submitted', 200, 'Sent', 7, 1, 2, 100, NULL, 50, false, NULL, NULL, 0, false, NULL, 'count_above_submitted,counts_inconsistent,sms_sent_not_product', NULL, '{"statusCode": 201, "success": true, "messages": ["Sent"], "data": {"recipients_count": 7, "message_count": 1, "sms_sent": 2, "sms_cost": 100, "new_balance": null, "unsupported_contacts_count": 0, "unsupported_contacts": []}}');
INSERT INTO public.attempts VALUES (3, 1, 3, 'main', 'run', 1, 1772442000000000, 1772442002000000, 2, 100, 'refused', 'http_400', 400, 'The sender ID is not registered', NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"statusCode": 400, "success": false, "messages": ["The sender ID is not registered"], "data": []}');
INSERT INTO public.attempts VALUES (4, 1, 4, 'main', 'run', 1, 1772442000000000, 1772442002000000, 2, 100, 'unknown', 'no_answer', NULL, NULL, NULL, NULL, NULL, NULL, 100, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (6, 2, 1, 'main', 'run', 1, 1772442000000000, 1772442000000000, 3, 150, 'not_sent', 'too_large', 413, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"statusCode": 413, "success": false, "messages": [], "data": []}');
INSERT INTO public.attempts VALUES (7, 2, 4, 'main', 'run', 1, 1772442000000000, 1772442000000000, 1, 50, 'accepted', 'ok', 200, 'Sent', 1, 1, 1, 50, NULL, 50, false, NULL, NULL, 0, true, true, NULL, NULL, '{"statusCode": 201, "success": true, "messages": ["Sent"], "data": {"recipients_count": 1, "message_count": 1, "sms_sent": 1, "sms_cost": 50, "new_balance": null, "unsupported_contacts_count": 0, "unsupported_contacts": []}}');
INSERT INTO public.attempts VALUES (8, 2, 2, 'main', 'run', 1, 1772442000000000, 1772442000000000, 2, 100, 'accepted', 'ok', 200, 'Sent', 2, 1, 2, 100, NULL, 50, false, NULL, NULL, 0, true, NULL, NULL, NULL, '{"statusCode": 201, "success": true, "messages": ["Sent"], "data": {"recipients_count": 2, "message_count": 1, "sms_sent": 2, "sms_cost": 100, "new_balance": null, "unsupported_contacts_count": 0, "unsupported_contacts": []}}');
INSERT INTO public.attempts VALUES (9, 2, 5, 'main', 'run', 1, 1772442000000000, 1772442000000000, 1, 50, 'accepted', 'ok', 200, 'Sent', 1, 1, 1, 50, NULL, 50, false, NULL, NULL, 0, true, true, NULL, NULL, '{"statusCode": 201, "success": true, "messages": ["Sent"], "data": {"recipients_count": 1, "message_count": 1, "sms_sent": 1, "sms_cost": 50, "new_balance": null, "unsupported_contacts_count": 0, "unsupported_contacts": []}}');
INSERT INTO public.campaigns VALUES (1, 'clinic-day', '1', 'main', '127.0.0.1', 'sending', NULL, NULL, 1, 'agreed', 0, 'content', 'plan', 'people.csv', 'source', 'MamboSMS', 'customised', 'Dear friend, clinic day is Friday. Bring your card.', '{}', '["client_id"]', '{}', 12, 11, 6, 11, 550, 1795675527752460, 1772442000000000, NULL, NULL, false, NULL);
INSERT INTO public.campaigns VALUES (2, 'flour-day', '2026-03-02', 'main', '127.0.0.1', 'complete', NULL, NULL, 1, 'agreed', 1, 'content', 'plan', 'people.csv', 'source', 'MamboSMS', 'customised', 'Dear friend, clinic day is Friday. Bring your card.', '{}', '[]', '{}', 6, 6, 3, 6, 300, 1795675527788635, 1772442000000000, 1772442060000000, NULL, false, NULL);
INSERT INTO public.chunks VALUES (1, 5, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 1, 50, 'in_flight', 5);
INSERT INTO public.chunks VALUES (1, 1, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 3, 150, 'accepted', 1);
INSERT INTO public.chunks VALUES (1, 2, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 2, 100, 'accepted', 2);
INSERT INTO public.chunks VALUES (1, 3, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 2, 100, 'refused', 3);
INSERT INTO public.chunks VALUES (1, 4, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 2, 100, 'unknown', 4);
INSERT INTO public.chunks VALUES (1, 6, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 1, 50, 'cancelled', NULL);
INSERT INTO public.chunks VALUES (2, 1, NULL, NULL, true, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 3, 150, 'split', 6);
INSERT INTO public.chunks VALUES (2, 4, 1, NULL, true, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 1, 50, 'accepted', 7);
INSERT INTO public.chunks VALUES (2, 2, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 2, 100, 'accepted', 8);
INSERT INTO public.chunks VALUES (2, 3, NULL, NULL, false, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 0, 0, 'skipped', NULL);
INSERT INTO public.chunks VALUES (2, 5, 1, NULL, true, 'Dear friend, clinic day is Friday. Bring your card.', 9037945635203756973, 'GSM-7', 1, 1, 50, 'accepted', 9);
INSERT INTO public.deliveries VALUES (1, 1, 1, 'delivered', 'DELIVERED', NULL, 'export.csv', 1772442000000000);
INSERT INTO public.deliveries VALUES (1, 8, 4, 'failed', 'FAILED', NULL, 'export.csv', 1772442000000000);
INSERT INTO public.events VALUES (1, 1, 'main', 1795675527752460, 'planned', 'tester', '11 recipients, 6 calls');
INSERT INTO public.events VALUES (2, 1, 'main', 1772442000000000, 'send_started', 'tester', NULL);
INSERT INTO public.events VALUES (3, 1, 'main', 1772442000000000, 'deliveries_imported', 'officer', 'export.csv: 2 reports');
INSERT INTO public.events VALUES (4, 2, 'main', 1795675527788635, 'planned', 'tester', '6 recipients, 3 calls');
INSERT INTO public.events VALUES (5, 2, 'main', 1772442000000000, 'send_started', 'tester', NULL);
INSERT INTO public.events VALUES (6, 2, 'main', 1772442060000000, 'complete', 'tester', NULL);
INSERT INTO public.ledger_meta VALUES ('schema_version', '3');
INSERT INTO public.recipient_exceptions VALUES (1, 1, 1, NULL, 1, 50);
INSERT INTO public.recipient_exceptions VALUES (1, 2, 1, 'unsupported', 0, 50);
INSERT INTO public.recipient_exceptions VALUES (1, 4, 2, 'unverified', 0, 50);
INSERT INTO public.recipient_exceptions VALUES (1, 5, 2, 'unverified', 0, 50);
INSERT INTO public.recipients VALUES (1, 1, '0772000001', 256772000001, 'MTN Uganda', NULL, 1, NULL, NULL, 1, 50, '{"client_id":"c1"}');
INSERT INTO public.recipients VALUES (1, 2, '0772000002', 256772000002, 'MTN Uganda', NULL, 1, NULL, NULL, 1, 50, '{"client_id":"c2"}');
INSERT INTO public.recipients VALUES (1, 3, '0772000003', 256772000003, 'MTN Uganda', NULL, 1, NULL, NULL, 1, 50, '{"client_id":"c3"}');
INSERT INTO public.recipients VALUES (1, 4, '0772000004', 256772000004, 'MTN Uganda', NULL, 2, NULL, NULL, 1, 50, '{"client_id":"c4"}');
INSERT INTO public.recipients VALUES (1, 5, '0772000005', 256772000005, 'MTN Uganda', NULL, 2, NULL, NULL, 1, 50, '{"client_id":"c5"}');
INSERT INTO public.recipients VALUES (1, 6, '0772000006', 256772000006, 'MTN Uganda', NULL, 3, NULL, NULL, 1, 50, '{"client_id":"c6"}');
INSERT INTO public.recipients VALUES (1, 7, '0772000007', 256772000007, 'MTN Uganda', NULL, 3, NULL, NULL, 1, 50, '{"client_id":"c7"}');
INSERT INTO public.recipients VALUES (1, 8, '0772000008', 256772000008, 'MTN Uganda', NULL, 4, NULL, NULL, 1, 50, '{"client_id":"c8"}');
INSERT INTO public.recipients VALUES (1, 9, '0772000009', 256772000009, 'MTN Uganda', NULL, 4, NULL, NULL, 1, 50, '{"client_id":"c9"}');
INSERT INTO public.recipients VALUES (1, 10, '0772000010', 256772000010, 'MTN Uganda', NULL, 5, NULL, NULL, 1, 50, '{"client_id":"c10"}');
INSERT INTO public.recipients VALUES (1, 11, '0772000011', 256772000011, 'MTN Uganda', NULL, 6, NULL, NULL, 1, 50, '{"client_id":"c11"}');
INSERT INTO public.recipients VALUES (1, 12, 'n/a', NULL, NULL, 'missing', NULL, 'Dear friend, clinic day is Friday. Bring your card.', 'GSM-7', 1, NULL, '{"client_id":"c12"}');
INSERT INTO public.recipients VALUES (2, 4, '0772000004', 256772000004, 'MTN Uganda', NULL, 2, NULL, NULL, 1, 50, NULL);
INSERT INTO public.recipients VALUES (2, 5, '0772000005', 256772000005, 'MTN Uganda', NULL, 2, NULL, NULL, 1, 50, NULL);
INSERT INTO public.recipients VALUES (2, 1, '0772000001', 256772000001, 'MTN Uganda', NULL, 4, NULL, NULL, 1, 50, NULL);
INSERT INTO public.recipients VALUES (2, 3, '0772000003', 256772000003, 'MTN Uganda', NULL, 5, NULL, NULL, 1, 50, NULL);
INSERT INTO public.recipients VALUES (2, 2, '0772000002', 256772000002, 'MTN Uganda', 'opted_out', NULL, 'Dear friend, clinic day is Friday. Bring your card.', 'GSM-7', 1, 50, NULL);
INSERT INTO public.recipients VALUES (2, 6, '0772000006', 256772000006, 'MTN Uganda', 'opted_out', NULL, 'Dear friend, clinic day is Friday. Bring your card.', 'GSM-7', 1, 50, NULL);
INSERT INTO public.suppressions VALUES (256772000002, 2, 1795675527808725, 'opt_outs.csv');
INSERT INTO public.suppressions VALUES (256772000006, 2, 1795675527808725, 'opt_outs.csv');
INSERT INTO public.unsupported VALUES (1, 1, '+256772000002', 2);
SELECT pg_catalog.setval('public.account_entries_id_seq', 2, true);
SELECT pg_catalog.setval('public.attempts_id_seq', 9, true);
SELECT pg_catalog.setval('public.campaigns_id_seq', 2, true);
SELECT pg_catalog.setval('public.events_id_seq', 6, true);
SELECT pg_catalog.setval('public.unsupported_id_seq', 1, true);
ALTER TABLE ONLY public.account_entries
    ADD CONSTRAINT account_entries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account);
ALTER TABLE ONLY public.archives
    ADD CONSTRAINT archives_pkey PRIMARY KEY (campaign_id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.campaigns
    ADD CONSTRAINT campaigns_name_edition_key UNIQUE (name, edition);
ALTER TABLE ONLY public.campaigns
    ADD CONSTRAINT campaigns_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (campaign_id, chunk);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (campaign_id, "row");
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ledger_meta
    ADD CONSTRAINT ledger_meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.recipient_exceptions
    ADD CONSTRAINT recipient_exceptions_pkey PRIMARY KEY (campaign_id, "row");
ALTER TABLE ONLY public.recipients
    ADD CONSTRAINT recipients_pkey PRIMARY KEY (campaign_id, "row");
ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (msisdn, campaign_id);
ALTER TABLE ONLY public.unsupported
    ADD CONSTRAINT unsupported_pkey PRIMARY KEY (id);
CREATE INDEX attempts_by_time ON public.attempts USING btree (intent_at_us, account, charged_ugx, exposed_ugx);
CREATE INDEX attempts_of_chunk ON public.attempts USING btree (campaign_id, chunk);
CREATE INDEX chunks_by_state ON public.chunks USING btree (campaign_id, state, chunk);
CREATE INDEX chunks_by_text ON public.chunks USING btree (text_key);
CREATE INDEX ix_unsupported_attempt_id ON public.unsupported USING btree (attempt_id);
CREATE INDEX open_attempts ON public.attempts USING btree (account, campaign_id) WHERE (exposed_ugx IS NOT NULL);
CREATE INDEX recipients_of_chunk ON public.recipients USING btree (campaign_id, chunk, "row", msisdn, estimated_ugx);
CREATE INDEX rejected_recipients ON public.recipients USING btree (campaign_id, reason) WHERE (reason IS NOT NULL);
ALTER TABLE ONLY public.archives
    ADD CONSTRAINT archives_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.recipient_exceptions
    ADD CONSTRAINT recipient_exceptions_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.recipients
    ADD CONSTRAINT recipients_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);
ALTER TABLE ONLY public.unsupported
    ADD CONSTRAINT unsupported_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.attempts(id);
