// What nginx has no directive for: the body. A good one goes on to the backend.
const PROBLEMS = @PROBLEMS_JSON@;

function refuse(r, slug) {
    const problem = PROBLEMS[slug];
    r.headersOut['Content-Type'] = 'application/json';
    r.return(problem.status, problem.before + JSON.stringify(r.uri) + '}}');
}

function judge_body(r) {
    const text = r.requestText;
    if (!text) {
        return refuse(r, 'body-empty');
    }
    let body;
    try {
        body = JSON.parse(text);
    } catch (e) {
        return refuse(r, 'body-malformed');
    }
    if (!body || !body.number || typeof body.number !== 'string') {
        return refuse(r, 'number-missing');
    }
    const days = body.cache_value_days;
    if (days !== undefined && days !== null && days !== '' &&
            !(typeof days === 'number' && days >= 0 && days <= @DAYS_MAX@ && Math.floor(days) === days)) {
        return refuse(r, 'cache-days-unsupported');
    }
    r.internalRedirect('@lookup');
}

// The path between the quotes of a JSON string.
function instance(r) {
    return JSON.stringify(r.uri).slice(1, -1);
}

export default { judge_body, instance };
